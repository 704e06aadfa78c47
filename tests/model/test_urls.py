"""URL fields: every spelling of one object leads to that object, and everything else is refused by name."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.model.errors import Refused, Usage
from engine.model.failures import FailureClass
from engine.model.hosts import store_at
from engine.model.keys import LinkTemplate
from engine.model.location import Location, Origin
from engine.model.urls import SourceRules, identity_hash, parse_url, plus_as_space, source_rules

RULES = source_rules(
    ["docs-bucket", "my.dotted.bucket"], None, "us-west-2", ["files.example", "http://plain.example:81"]
)
STORE = source_rules(["docs-bucket", "my.dotted.bucket"], "http://127.0.0.1:9000", "us-west-2", [])
NAMED_STORE = source_rules(["docs-bucket"], "https://s3.vendor.example", "eu-1", [])


def refusal(text: str, rules: SourceRules = RULES) -> tuple[FailureClass, str]:
    with pytest.raises(Refused) as caught:
        parse_url(text, rules)
    return caught.value.failure, str(caught.value)


AWS_HOSTS = [
    "s3.amazonaws.com",
    "s3.us-west-2.amazonaws.com",
    "s3-us-west-2.amazonaws.com",
    "s3.dualstack.us-west-2.amazonaws.com",
    "s3-accelerate.amazonaws.com",
    "s3-accelerate.dualstack.amazonaws.com",
    "s3-fips.us-east-1.amazonaws.com",
    "s3-fips.dualstack.us-east-1.amazonaws.com",
    "s3-fips-us-gov-west-1.amazonaws.com",
    "s3-external-1.amazonaws.com",
    "s3.cn-north-1.amazonaws.com.cn",
    "s3.us-gov-west-1.amazonaws.com",
    "S3.US-WEST-2.AMAZONAWS.COM",
    "s3.us-west-2.amazonaws.com.",
    "s3.us-west-2.amazonaws.com:443",
    "s3.us-west-2.amazonaws.com:",
]


@pytest.mark.parametrize("host", AWS_HOSTS)
@pytest.mark.parametrize("bucket", ["docs-bucket", "my.dotted.bucket"])
@pytest.mark.parametrize("form", ["https://{bucket}.{host}/a/b%20c.pdf", "https://{host}/{bucket}/a/b%20c.pdf"])
def test_every_host_form_of_a_bucket_names_the_same_object(host: str, bucket: str, form: str) -> None:
    location = parse_url(form.format(bucket=bucket, host=host), RULES)
    assert location.identity == f"s3://{bucket}/a/b c.pdf"
    assert location.origin.scheme == "https"
    assert location.url.startswith(f"{location.origin}/")
    assert location.url.endswith("/a/b%20c.pdf")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("https://docs-bucket.s3.amazonaws.com/a%20b.pdf", "a b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a b.pdf", "a b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a+b.pdf", "a+b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a%2Bb.pdf", "a+b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a%2520b.pdf", "a%20b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a%23b%3Fc.pdf", "a#b?c.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a#b.pdf", "a"),
        ("https://docs-bucket.s3.amazonaws.com/a?b.pdf", "a"),
        ("https://docs-bucket.s3.amazonaws.com/100% of 5%zz.pdf", "100% of 5%zz.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/%E2%82%AC.pdf", "€.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/€.pdf", "€.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a%5Cb.pdf", "a\\b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a%0Ab.pdf", "a\nb.pdf"),
        ("https://docs-bucket.s3.amazonaws.com//a//b.pdf", "/a//b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/a%2Fb.pdf", "a/b.pdf"),
        ("https://docs-bucket.s3.amazonaws.com/.../..a/b..", ".../..a/b.."),
        ("  https://docs-bucket.s3.amazonaws.com/a.pdf\r\n", "a.pdf"),
        ("HTTPS://DOCS-BUCKET.s3.amazonaws.com/A.PDF", "A.PDF"),
        ("http://docs-bucket.s3.amazonaws.com/a.pdf", "a.pdf"),
        ("s3://docs-bucket/a b+c.pdf", "a b+c.pdf"),
        ("S3://docs-bucket/what?#1.pdf", "what?#1.pdf"),
        ("s3://docs-bucket/a%20b.pdf", "a%20b.pdf"),
    ],
)
def test_the_key_is_the_true_name_decoded_once(text: str, key: str) -> None:
    location = parse_url(text, RULES)
    assert (location.bucket, location.key) == ("docs-bucket", key)


def test_unicode_forms_of_a_name_stay_apart() -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.pdf") for form in ("NFC", "NFD"))
    base = "https://docs-bucket.s3.amazonaws.com/"
    assert parse_url(base + composed, RULES).key == composed
    assert parse_url(base + decomposed, RULES).key == decomposed


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/a b%20c.pdf", "/a%20b%20c.pdf"),
        ("/it's(1);v=2:@&$!*,~.pdf", "/it's(1);v=2:@&$!*,~.pdf"),
        ("/%e2%82%ac%27%2f.pdf", "/%e2%82%ac%27%2f.pdf"),
        ("/100%.pdf", "/100%25.pdf"),
        ('/é"<>[]{}|^`.pdf', "/%C3%A9%22%3C%3E%5B%5D%7B%7D%7C%5E%60.pdf"),
        ("/a.pdf?response-content-type=text/html&torrent", "/a.pdf"),
        ("/a.pdf?versionId=3/L4kqtJl&x=1", "/a.pdf?versionId=3%2FL4kqtJl"),
    ],
)
def test_the_wire_form_encodes_only_what_is_illegal(text: str, url: str) -> None:
    base = "https://docs-bucket.s3.amazonaws.com"
    assert parse_url(base + text, RULES).url == base + url
    assert (
        parse_url("https://files.example" + text.partition("?")[0], RULES).url
        == "https://files.example" + (url.partition("?")[0])
    )


def test_plain_gets_of_a_bucket_go_over_https_even_for_http_links() -> None:
    location = parse_url("http://docs-bucket.s3.amazonaws.com/a.pdf", RULES)
    assert location.url == "https://docs-bucket.s3.amazonaws.com/a.pdf"


def test_a_bucket_with_dots_is_reached_in_path_style_where_certificates_hold() -> None:
    regional = parse_url("http://my.dotted.bucket.s3.eu-west-1.amazonaws.com/a.pdf", RULES)
    global_ = parse_url("http://my.dotted.bucket.s3.amazonaws.com/a.pdf", RULES)
    assert regional.url == "https://s3.eu-west-1.amazonaws.com/my.dotted.bucket/a.pdf"
    assert global_.url == "https://s3.us-west-2.amazonaws.com/my.dotted.bucket/a.pdf"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9000/docs-bucket/a%20b.pdf",
        "https://docs-bucket.s3.us-west-2.amazonaws.com/a%20b.pdf",
        "https://s3.amazonaws.com/docs-bucket/a%20b.pdf",
        "s3://docs-bucket/a b.pdf",
    ],
)
def test_with_an_endpoint_every_form_leads_to_the_endpoint(text: str) -> None:
    location = parse_url(text, STORE)
    assert (location.bucket, location.key) == ("docs-bucket", "a b.pdf")
    assert location.url == "http://127.0.0.1:9000/docs-bucket/a%20b.pdf"


@pytest.mark.parametrize(
    "text",
    [
        "https://docs-bucket.s3.vendor.example/a.pdf",
        "https://s3.vendor.example/docs-bucket/a.pdf",
        "http://s3.vendor.example/docs-bucket/a.pdf",
        "https://S3.Vendor.Example:443/docs-bucket/a.pdf",
    ],
)
def test_an_endpoint_with_a_name_is_known_in_both_styles(text: str) -> None:
    location = parse_url(text, NAMED_STORE)
    assert location.identity == "s3://docs-bucket/a.pdf"
    assert location.origin == Origin("https", "s3.vendor.example", 443)


def test_the_version_is_part_of_the_identity() -> None:
    base = "https://docs-bucket.s3.amazonaws.com/a.pdf"
    location = parse_url(f"{base}?versionId=abc", RULES)
    assert location.version_id == "abc"
    assert location.identity != parse_url(base, RULES).identity
    assert location.identity == parse_url(location.identity, RULES).identity
    assert parse_url(f"{base}?versionId=", RULES).version_id is None
    assert refusal(f"{base}?versionId=a&versionid=b")[0] is FailureClass.BAD_URL
    assert refusal(f"{base}?versionId=%0a")[0] is FailureClass.BAD_URL


def test_a_version_4_presigned_url_stays_whole_and_knows_when_it_dies() -> None:
    text = (
        "https://docs-bucket.s3.us-west-2.amazonaws.com/a%27b.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIA%2F20260101%2Fus-west-2%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z"
        "&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&response-content-type=a%2Fb&X-Amz-Signature=abcdef"
    )
    location = parse_url(text, RULES)
    assert (location.presigned, location.expires_at, location.url) == (True, 1767225600.0 + 3600, text)
    assert location.key == "a'b.pdf"
    assert "Signature" not in location.shown
    assert "Signature" not in location.identity


@pytest.mark.parametrize(
    ("base", "rules"),
    [
        ("https://my.dotted.bucket.s3.us-west-2.amazonaws.com", RULES),
        ("https://s3.amazonaws.com/docs-bucket", RULES),
        ("https://docs-bucket.s3-accelerate.amazonaws.com", RULES),
        ("https://docs-bucket.s3.vendor.example", NAMED_STORE),
        ("https://s3.vendor.example/docs-bucket", NAMED_STORE),
    ],
)
def test_a_presigned_url_keeps_the_host_that_was_signed(base: str, rules: SourceRules) -> None:
    text = f"{base}/a.pdf?Expires=1767225600&Signature=x"
    location = parse_url(text, rules)
    assert location.url == text
    assert text.startswith(f"{location.origin}/")
    assert location.key == "a.pdf"


def test_a_presigned_url_of_another_service_goes_to_the_endpoint() -> None:
    location = parse_url("https://docs-bucket.s3.amazonaws.com/a.pdf?Expires=1&Signature=x", STORE)
    assert location.url == "http://127.0.0.1:9000/docs-bucket/a.pdf?Expires=1&Signature=x"


def test_a_version_2_presigned_url_knows_when_it_dies() -> None:
    text = "https://docs-bucket.s3.amazonaws.com/a.pdf?AWSAccessKeyId=A&Expires=1767225600&Signature=a%2Bb%3D"
    location = parse_url(text, RULES)
    assert (location.presigned, location.expires_at, location.url) == (True, 1767225600.0, text)


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Signature=a",
        "X-Amz-Signature=a&X-Amz-Date=yesterday&X-Amz-Expires=60",
        "X-Amz-Signature=a&X-Amz-Date=20260101T000000Z&X-Amz-Expires=" + "9" * 5000,
        "X-Amz-Signature=a&X-Amz-Date=99999999T999999Z&X-Amz-Expires=1",
        "Signature=a&Expires=soon",
        "Signature=a&Expires=٣",
    ],
)
def test_a_presigned_url_with_unreadable_dates_has_no_known_end(query: str) -> None:
    location = parse_url(f"https://docs-bucket.s3.amazonaws.com/a.pdf?{query}", RULES)
    assert location.presigned
    assert location.expires_at is None


def test_a_plain_host_keeps_its_query_and_its_signature() -> None:
    location = parse_url("https://files.example/get?id=3 4&Expires=5&Signature=x#top", RULES)
    assert not location.in_s3
    assert location.url == "https://files.example/get?id=3%204&Expires=5&Signature=x"
    assert (location.presigned, location.expires_at) == (True, 5.0)
    assert location.shown == "https://files.example/get"
    assert parse_url("https://files.example?id=3", RULES).url == "https://files.example/?id=3"


@pytest.mark.parametrize(
    "text",
    [
        "https://docs-bucket.other.example/a.pdf",
        "https://docs-bucket.s3.vendor.example:8443/a.pdf",
        "https://s3.vendor.example:8443/docs-bucket/a.pdf",
        "https://docs-bucket.x.s3.vendor.example/a.pdf",
    ],
)
def test_a_neighbour_of_the_endpoint_is_not_the_endpoint(text: str) -> None:
    assert refusal(text, NAMED_STORE)[0] is FailureClass.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/"),
        ("http://127.0.0.1:9000", "http://localhost:9000"),
        ("http://127.0.0.1:9000", "HTTP://LocalHost:9000//"),
        ("http://[::1]:9000", "http://[0:0:0:0:0:0:0:1]:9000"),
        ("http://[::1]:9000", "http://localhost:9000"),
        ("https://store.example", "https://Store.Example.:443/"),
        ("https://store.example", "http://store.example:80"),
        ("https://store.example/base", "https://store.example/base/"),
        (None, ""),
        (None, "https://s3.us-west-2.amazonaws.com"),
        ("https://s3.amazonaws.com", "https://s3.dualstack.eu-west-1.amazonaws.com/"),
    ],
)
def test_spellings_of_one_store_are_one_store(one: str | None, other: str | None) -> None:
    assert store_at(one) == store_at(other)


@pytest.mark.parametrize(
    "other",
    [
        None,
        "https://store.example:8443",
        "https://other.example",
        "https://store.example/tenant",
        "https://store.example.evil",
        "https://amazonaws.com.evil.example",
        "no url",
    ],
)
def test_other_stores_are_other_stores(other: str | None) -> None:
    assert store_at("https://store.example") != store_at(other)


def test_a_user_name_before_the_host_is_named_as_the_reason() -> None:
    assert "user name" in refusal("https://docs-bucket.s3.amazonaws.com@evil.example/a.pdf")[1]


@pytest.mark.parametrize("text", ["", " ", "\r\n\t \f\v"])
def test_an_empty_field_is_no_url(text: str) -> None:
    assert refusal(text)[0] is FailureClass.NO_URL


@pytest.mark.parametrize(
    "text",
    [
        "report.pdf",
        "/docs/report.pdf",
        "//docs-bucket.s3.amazonaws.com/a.pdf",
        "docs-bucket.s3.amazonaws.com/a.pdf",
        "mailto:someone@example.com",
        "someone@example.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://docs-bucket.s3.amazonaws.com/a.pdf",
        "https:docs-bucket.s3.amazonaws.com/a.pdf",
        "https:/docs-bucket.s3.amazonaws.com/a.pdf",
        "https:\\\\docs-bucket.s3.amazonaws.com\\a.pdf",
        "https:///a.pdf",
        "https://",
        "https://:443/a",
        "https://docs-bucket.s3.amazonaws.com:0/a.pdf",
        "https://docs-bucket.s3.amazonaws.com:65536/a.pdf",
        "https://docs-bucket.s3.amazonaws.com",
        "https://docs-bucket.s3.amazonaws.com/",
        "https://docs-bucket.s3.amazonaws.com/folder/",
        "https://s3.amazonaws.com/docs-bucket",
        "https://docs-bucket.s3.amazonaws.com/a\\b.pdf",
        "https://docs-bucket.s3.amazonaws.com/a\nb.pdf",
        "https://docs-bucket.s3.amazonaws.com/a\x00b.pdf",
        "https://docs-bucket.s3.amazonaws.com/a\x7fb.pdf",
        "https://docs-bucket.s3.amazonaws.com/a\ud800b.pdf",
        "https://docs-bucket.s3.amazonaws.com/%FF.pdf",
        "https://docs-bucket.s3.amazonaws.com/%ED%A0%80.pdf",
        "https://docs-bucket.s3.amazonaws.com/a/../b.pdf",
        "https://docs-bucket.s3.amazonaws.com/a/%2e%2E/b.pdf",
        "https://docs-bucket.s3.amazonaws.com/./b.pdf",
        "https://docs-bucket.s3.amazonaws.com/a/.",
        "https://files.example/a/%2e./b.pdf",
        "https://files.example",
        "https://files.example/",
        "s3://docs-bucket",
        "s3://docs-bucket/",
        "s3://docs-bucket/folder/",
        "s3://docs-bucket/../a",
        "s3:/docs-bucket/a",
    ],
)
def test_what_names_no_file_is_a_bad_url(text: str) -> None:
    assert refusal(text)[0] is FailureClass.BAD_URL


@pytest.mark.parametrize("char", ["x", "é", "€", "𝄞"])
def test_a_key_may_have_1024_bytes_and_not_one_more(char: str) -> None:
    size = len(char.encode())
    fitting = char * (1024 // size) + "x" * (1024 % size)
    base = "https://docs-bucket.s3.amazonaws.com/"
    assert len(parse_url(base + fitting, RULES).key.encode()) == 1024
    failure, message = refusal(base + fitting + "x")
    assert failure is FailureClass.BAD_URL
    assert "1,024 bytes" in message


def test_messages_hold_neither_query_nor_credentials() -> None:
    for text in [
        "https://evil.example/a.pdf?X-Amz-Signature=canary",
        "https://canary:canary@docs-bucket.s3.amazonaws.com/a.pdf",
        "https://docs-bucket.s3.amazonaws.com/%FF?X-Amz-Signature=canary",
        "https://s3.amazonaws.com/other?Signature=canary&Expires=1",
        "canary",
    ]:
        assert "canary" not in refusal(text)[1]


def test_plus_has_a_second_reading_as_a_space() -> None:
    for base in ["https://docs-bucket.s3.us-west-2.amazonaws.com/", "https://s3.us-west-2.amazonaws.com/docs-bucket/"]:
        second = plus_as_space(parse_url(base + "a+b%2Bc%20d.pdf?versionId=v", RULES))
        assert second is not None
        assert second.key == "a b+c d.pdf"
        assert second.url == base + "a%20b%2Bc%20d.pdf?versionId=v"
        assert second == parse_url(second.url, RULES)


@pytest.mark.parametrize(
    "text", ["https://docs-bucket.s3.amazonaws.com/a%2Bb", "https://files.example/a+b", "s3://docs-bucket/a+b"]
)
def test_other_plus_signs_have_one_reading(text: str) -> None:
    assert plus_as_space(parse_url(text, RULES)) is None


def test_the_identity_hash_is_stable_and_fits_63_bits() -> None:
    assert identity_hash("s3://docs-bucket/a.pdf") == 1572627068073458162
    assert all(0 <= identity_hash(f"s3://b/{n}\ud800") < 2**63 for n in range(2000))


@pytest.mark.parametrize("entry", ["", "//", "https://", "user@host", "ho st", "host:99999", "[::1", "ftp://host"])
def test_an_allow_list_entry_that_is_no_host_is_a_settings_error(entry: str) -> None:
    with pytest.raises(Usage, match="no host"):
        source_rules([], None, "us-east-1", [entry])


def test_allow_list_entries_mean_https_unless_they_say_otherwise() -> None:
    rules = source_rules([], None, "us-east-1", ["A.example", "b.example:8443", "http://c.example/", "http://[::1]:80"])
    assert rules.allowed == {
        Origin("https", "a.example", 443),
        Origin("https", "b.example", 8443),
        Origin("http", "c.example", 80),
        Origin("http", "::1", 80),
    }


def stands(location: Location) -> bool:
    """Whether a location keeps every promise, whatever it came from."""
    reachable = location.origin in RULES.allowed or location.origin.host.endswith(
        (".amazonaws.com", ".amazonaws.com.cn")
    )
    wire = location.url.isascii() and location.url.isprintable() and " " not in location.url
    return reachable and wire and location.url.startswith(f"{location.origin}/") and len(location.key.encode()) <= 1024


PIECES = st.sampled_from(
    [
        "https://",
        "http://",
        "s3://",
        "docs-bucket",
        ".s3.amazonaws.com",
        "s3.us-west-2.amazonaws.com",
        "files.example",
        "/",
        "?",
        "#",
        "@",
        ":",
        "\\",
        "%",
        "%2F",
        "%2e",
        "..",
        "+",
        "versionId=",
        "X-Amz-Signature=",
        "&",
        "=",
        "[",
        "]",
    ]
)


@settings(max_examples=1_000, deadline=None)
@given(st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3))).map("".join)))
@example("https://docs-bucket.s3.amazonaws.com/\ud800")
@example("https://[/")
@example("https://[::1%25eth0]/a")
def test_any_text_is_a_location_or_a_named_refusal(text: str) -> None:
    try:
        answer: Location | FailureClass = parse_url(text, RULES)
    except Refused as refused:
        answer = refused.failure
    named = (FailureClass.NO_URL, FailureClass.BAD_URL, FailureClass.HOST_NOT_ALLOWED)
    assert stands(answer) if isinstance(answer, Location) else answer in named


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
    lambda key: key[-1] != "/" and not any(segment in (".", "..") for segment in key.split("/"))
)


@settings(max_examples=1_000, deadline=None)
@given(
    KEYS,
    st.sampled_from(
        ["https://{bucket}.s3.{region}.amazonaws.com/{key}", "https://s3.{region}.amazonaws.com/{bucket}/{key}"]
    ),
)
def test_a_link_to_a_copy_reads_back_as_its_key(key: str, template: str) -> None:
    location = parse_url(LinkTemplate(template, "docs-bucket", "us-west-2").url(key), RULES)
    assert (location.bucket, location.key) == ("docs-bucket", key)
    again = parse_url(location.url, RULES)
    assert again == location


def test_a_dot_before_an_encoded_line_feed_is_no_dot_segment() -> None:
    """``$`` would match before the line feed; only the true end of the key counts."""
    rules = source_rules(["vendor"], None, "us-east-1", [])

    assert parse_url("https://vendor.s3.amazonaws.com/a/.%0A", rules).key == "a/.\n"
