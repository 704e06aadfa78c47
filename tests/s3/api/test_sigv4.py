"""Our signatures are botocore's, for whatever key, query and header."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote, unquote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.s3.api.address import Address, address_of
from engine.s3.api.answers import StoreError
from engine.s3.api.credentials import Keys
from engine.s3.api.sigv4 import EMPTY, UNSIGNED, Request, Signer, path_of, query_of
from tests.support.signing import AT, keys_in_s3, names, printable

MINE = {"user-agent", "accept-encoding", "content-length", "expect", "authorization"}

queries = st.lists(st.tuples(st.text("abcXYZ-_.~ é/+=&%", min_size=1, max_size=8), keys_in_s3), max_size=4)


class Judge(S3SigV4Auth):
    """botocore's signer with moment and payload hash given."""

    def __init__(self, keys: Keys, region: str, digest: str) -> None:
        super().__init__(ReadOnlyCredentials(keys.access, keys.secret, keys.token), "s3", region)
        self._digest = digest

    def payload(self, request: AWSRequest) -> str:
        return self._digest

    def sign(self, request: AWSRequest, moment: str) -> str:
        request.context["timestamp"] = moment
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
        return str(request.headers["Authorization"])


def parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    return method, target, {name: value for name, _, value in (line.partition(": ") for line in lines)}


def judged(method: str, address: Address, target: str, fields: dict[str, str], keys: Keys, payload: str) -> str:
    url = f"{address.origin.scheme}://{address.host}{target}"
    headers = {name: value for name, value in fields.items() if name not in MINE}
    request = AWSRequest(method=method, url=url, headers=headers)
    return Judge(keys, address.region, payload).sign(request, AT.strftime("%Y%m%dT%H%M%SZ"))


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "PUT", "HEAD"]),
    endpoint=st.sampled_from([None, "https://store.example", "http://127.0.0.1:9000", "https://[::1]:8443/base"]),
    bucket=st.sampled_from(["my-bucket", "dotted.bucket.name", "Under_Score"]),
    key=keys_in_s3,
    query=queries,
    headers=st.dictionaries(names, printable, max_size=6),
    token=st.sampled_from([None, "short", "T" * 400 + "/+=="]),
    payload=st.sampled_from([EMPTY, UNSIGNED, "ab" * 32]),
)
def test_signatures_equal_botocores(
    method: str,
    endpoint: str | None,
    bucket: str,
    key: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    token: str | None,
    payload: str,
) -> None:
    reserved = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
    headers = {name: value for name, value in headers.items() if name not in reserved}
    address = address_of(bucket, "eu-west-1", endpoint)
    keys = Keys("AKIDEXAMPLE", "secret/+x", token)
    head = Signer().head(
        Request(method, key, query_of(query), headers, b"7 bytes", payload), address, keys, AT, awaits=True
    )
    sent_method, target, fields = parsed(head)
    assert sent_method == method
    assert fields["host"] == address.host
    assert fields["x-amz-content-sha256"] == payload
    assert fields["content-length"] == "7"
    assert fields["expect"] == "100-continue"
    assert fields["authorization"] == judged(method, address, target, fields, keys, payload)
    assert target.partition("?")[0] == f"{address.path}/{quote(key, safe='/-_.~')}"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_keys_are_encoded_once_and_come_back(key: str) -> None:
    assert unquote(path_of(key)) == key
    assert path_of(key).isascii()


def test_dots_and_double_slashes_stay_as_they_are() -> None:
    head = Signer().head(Request("GET", "/a/../b//c/.", "", {}), address_of("b-b", "us-east-1", "http://h"), None, AT)
    assert head.startswith(b"GET /b-b//a/../b//c/. HTTP/1.1\r\n")


def test_without_keys_nothing_is_signed() -> None:
    head = Signer().head(Request("GET", "k", "", {"if-match": '"x"'}), address_of("b-b", "us-east-1", None), None, AT)
    assert b"authorization" not in head
    assert b"x-amz-date" not in head
    assert b'if-match: "x"\r\n' in head


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "é"])
def test_a_header_that_could_split_the_request_is_refused(value: str) -> None:
    with pytest.raises(StoreError, match="InvalidArgument"):
        Signer().head(Request("GET", "k", "", {"x-amz-meta-a": value}), address_of("b-b", "us-east-1", None), None, AT)


def test_a_lone_surrogate_is_no_key() -> None:
    with pytest.raises(StoreError, match="InvalidURI"):
        Signer().head(Request("GET", "\ud800", "", {}), address_of("b-b", "us-east-1", None), None, AT)


def test_the_signing_key_follows_day_region_and_secret() -> None:
    signer = Signer()
    address, other = address_of("b-b", "us-east-1", None), address_of("b-b", "eu-west-1", None)
    keys = Keys("AK", "one")

    def fresh(keys: Keys, address: Address, at: datetime) -> bool:
        reused = signer.head(Request("GET", "k", "", {}), address, keys, at)
        return reused == Signer().head(Request("GET", "k", "", {}), address, keys, at)

    assert all(
        [
            fresh(keys, address, AT),
            fresh(keys, other, AT),
            fresh(Keys("AK", "two"), other, AT),
            fresh(keys, address, AT.replace(day=23)),
        ]
    )


def test_secrets_stay_out_of_reprs() -> None:
    assert "hidden" not in repr(Keys("AK", "hidden", "hidden-token"))
