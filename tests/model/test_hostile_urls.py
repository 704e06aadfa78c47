"""Spellings that reach another host elsewhere: none gets past the allow list."""

from __future__ import annotations

import pytest

from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.urls import SourceRules, parse_url, source_rules

RULES = source_rules(["docs-bucket"], None, "us-west-2", ["files.example", "http://127.0.0.1:8080"])
STORE = source_rules(["docs-bucket"], "http://127.0.0.1:9000", "us-west-2", [])

HOSTS = [
    # loopback and metadata addresses, in every base and length
    "127.0.0.1",
    "127.0.0.1:80",
    "127.1:8080",
    "127.0.1:8080",
    "2130706433:8080",
    "0x7f000001:8080",
    "0x7f.1:8080",
    "0x7f.0x0.0x0.0x1:8080",
    "0177.0.0.1:8080",
    "0177.1:8080",
    "017700000001:8080",
    "127.0.0.01:8080",
    "127.00.0.1:8080",
    "127.0.0.1.:9000",
    "0",
    "0.0.0.0",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.8",
    "10.0.0.1",
    # IPv6, mapped, translated, with zones
    "[::1]",
    "[::1]:8080",
    "[::]",
    "[::ffff:127.0.0.1]:8080",
    "[::ffff:7f00:1]:8080",
    "[::127.0.0.1]:8080",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]",
    "[fec0::1]",
    "[fd00:ec2::254]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1",
    "::1",
    "[127.0.0.1]:8080",
    # other digits, dots and letters
    "１２７.0.0.1:8080",
    "127。0。0。1:8080",
    "①②⑦.0.0.1:8080",
    "ⓕⓘⓛⓔⓢ.example",
    "files.exaｍple",
    "files｡example",
    "fіles.example",
    "xn--fles-vpa.example",
    "files.example%2eevil.test",
    "files%2eexample",
    "f%69les.example",
    # user info, and what parsers disagree on
    "files.example@evil.test",
    "evil.test@files.example",
    "files.example:443@evil.test",
    "files.example\\@evil.test",
    "evil.test\\@files.example",
    "evil.test\\.files.example",
    "files.example&@evil.test",
    "evil.test%00.files.example",
    "evil.test;files.example",
    "evil.test,files.example",
    "evil.test%23@files.example",
    " files.example",
    "files.example ",
    "files .example",
    "files.example:80",
    "files.example:8443",
    "files.example:443:443",
    "files.example:-443",
    "files.example:+443",
    "files.example:4_43",
    "files.example:0x1bb",
    "files.example:٤٤٣",
    "files.example..",
    ".files.example",
    "files..example",
    "files.example.evil.test",
    "evilfiles.example",
    "sub.files.example",
    "-files.example",
    "localhost",
    "localhost.localdomain",
    "metadata.google.internal",
    # names that only look like S3
    "docs-bucket.s3.amazonaws.com.evil.test",
    "docs-bucket.s3.amazonaws.com.evil.test:443",
    "evil.docs-bucket.s3.amazonaws.com",
    "docs-bucket-evil.s3.amazonaws.com",
    "docs-bucket.s3.evil.amazonaws.com",
    "docs-bucket.s3-evil.amazonaws.com",
    "docs-bucket.s3.us-west-2.evil-amazonaws.com",
    "docs-bucket.ec2.us-west-2.amazonaws.com",
    "docs-bucket.s3-website-us-west-2.amazonaws.com",
    "docs-bucket.s3-website.us-west-2.amazonaws.com",
    "docs-bucket.s3.us-west-2.amazonaws.com:8443",
    "docs-bucket.s3.amazonaws.com%2f@evil.test",
    "docs-bucket",
    "docs-bucket.",
]
FORMS = ["https://{}/a.pdf", "http://{}/a.pdf", "https://{}", "https://{}?x", "https://{}#@files.example/a.pdf"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rules", [RULES, STORE], ids=["aws", "endpoint"])
def test_no_spelling_of_a_foreign_host_gets_through(host: str, form: str, rules: SourceRules) -> None:
    with pytest.raises(Refused) as caught:
        parse_url(form.format(host), rules)
    assert caught.value.failure in {FailureClass.BAD_URL, FailureClass.HOST_NOT_ALLOWED}


def test_the_list_is_as_long_as_promised() -> None:
    assert len(set(HOSTS)) >= 60


@pytest.mark.parametrize(
    "text",
    [
        "https://s3.amazonaws.com/other-bucket/a.pdf",
        "https://other-bucket.s3.us-west-2.amazonaws.com/a.pdf",
        "https://s3.amazonaws.com/docs%2dbucket-evil/a.pdf",
        "https://s3.amazonaws.com//docs-bucket/a.pdf",
        "https://s3.amazonaws.com/Docs-Bucket/a.pdf",
        "s3://other-bucket/a.pdf",
        "s3://docs-bucket@evil.test/a.pdf",
        "s3:///docs-bucket/a.pdf",
        "https://evil.test/docs-bucket.s3.amazonaws.com/a.pdf",
        "https://evil.test/?https://docs-bucket.s3.amazonaws.com/a.pdf",
        "https://evil.test#docs-bucket.s3.amazonaws.com/a.pdf",
    ],
)
def test_only_configured_buckets_are_read(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_url(text, RULES)
    assert caught.value.failure is FailureClass.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "gopher://127.0.0.1:8080/_x",
        "dict://127.0.0.1:8080/",
        "jar:https://files.example/a.jar!/b",
        "data:text/html,x",
        "view-source:https://files.example/a",
        "blob:https://files.example/a",
        "ldap://files.example/a",
        "httpsx://files.example/a",
        "https\u200b://files.example/a",
        "\ufeffhttps://files.example/a",
        "https://files.example\r\nHost: evil.test/a",
        "https://files.example/a\r\nX: y",
        "https://files.exam\tple/a",
        "ht\ntps://files.example/a",
    ],
)
def test_other_schemes_and_split_lines_are_bad_urls(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_url(text, RULES)
    assert caught.value.failure is FailureClass.BAD_URL


def test_a_website_host_is_read_only_where_it_is_listed() -> None:
    rules = source_rules(["docs-bucket"], None, "us-west-2", ["http://docs-bucket.s3-website-us-west-2.amazonaws.com"])
    location = parse_url("http://docs-bucket.s3-website-us-west-2.amazonaws.com/a.pdf", rules)
    assert not location.in_s3
    assert location.url == "http://docs-bucket.s3-website-us-west-2.amazonaws.com/a.pdf"


def test_listed_hosts_are_found_under_every_honest_spelling() -> None:
    for text in [
        "https://FILES.example/a",
        "https://files.example./a",
        "https://files.example:443/a",
        "https://files.example:/a",
    ]:
        assert parse_url(text, RULES).url == "https://files.example/a"
    assert parse_url("http://127.0.0.1:8080/a", RULES).url == "http://127.0.0.1:8080/a"


@pytest.mark.parametrize("host", ["１２７.0.0.1:8080", "fіles.example", "files｡example"])
def test_a_host_beyond_ascii_is_foreign_and_the_reason_is_said(host: str) -> None:
    with pytest.raises(Refused, match="beyond ASCII") as caught:
        parse_url(f"http://{host}/a.pdf", RULES)
    assert caught.value.failure is FailureClass.HOST_NOT_ALLOWED
