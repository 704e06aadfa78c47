"""Heads rendered by the thousand are, to the byte, those that the signer renders one by one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.s3.api.address import address_of
from engine.s3.api.answers import StoreError
from engine.s3.api.credentials import Keys
from engine.s3.api.head_template import HeadTemplate
from engine.s3.api.sigv4 import Request, Signer, path_of
from tests.support.signing import AT, keys_in_s3, names, printable

VARYING = ("x-amz-copy-source-if-match", "x-amz-copy-source")
KEYS = Keys("AKIDEXAMPLE", "secret/+x")
HOME = address_of("my-bucket", "eu-west-1", None)


@given(
    endpoint=st.sampled_from([None, "http://127.0.0.1:9000", "https://[::1]:8443/base"]),
    token=st.sampled_from([None, "T" * 400 + "/+=="]),
    fixed=st.dictionaries(names, printable, max_size=5),
    several=st.lists(st.tuples(keys_in_s3, keys_in_s3), min_size=1, max_size=3),
    seconds=st.integers(0, 100_000),
)
def test_a_template_renders_what_the_signer_renders(
    endpoint: str | None, token: str | None, fixed: dict[str, str], several: list[tuple[str, str]], seconds: int
) -> None:
    reserved = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", *VARYING}
    fixed = {name: value for name, value in fixed.items() if name not in reserved}
    address, keys = address_of("my-bucket", "eu-west-1", endpoint), Keys("AKIDEXAMPLE", "secret/+x", token)
    template = HeadTemplate("PUT", address, fixed, VARYING)
    for at in (AT, AT + timedelta(seconds=seconds)):
        template.stamp(keys, at)
        for key, source in several:
            values = {"x-amz-copy-source": "vendor/" + path_of(source), "x-amz-copy-source-if-match": f'"{"ab" * 16}"'}
            wanted = Signer().head(Request("PUT", key, "", {**fixed, **values}, b""), address, keys, at)
            assert template.head(key, *[values[name] for name in sorted(values)]) == wanted


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "é"])
def test_a_fixed_header_that_could_split_the_request_is_refused(value: str) -> None:
    with pytest.raises(StoreError, match="InvalidArgument"):
        HeadTemplate("PUT", HOME, {"x-amz-meta-a": value}, VARYING).stamp(KEYS, AT)


def test_a_lone_surrogate_is_no_key() -> None:
    template = HeadTemplate("PUT", HOME, {}, VARYING)
    template.stamp(KEYS, AT)
    with pytest.raises(StoreError, match="InvalidURI"):
        template.head("\ud800", "vendor/a", '"ab"')
