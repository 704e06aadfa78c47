"""Presigned links of a strict S3 server, read by plain GET."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import pytest

from engine.limiting.clock import SystemClock
from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.urls import parse_url, source_rules
from engine.rehearsal.objects import ObjectServer
from engine.settings import NetworkSettings
from engine.web.client import open_web
from engine.web.source import WebSource
from tests.support.servers.client import client_of
from tests.support.web import body_of, origin

pytestmark = pytest.mark.swift

KEYS = ["plain.pdf", "a b+c/é (1).pdf", "100%/50%25?x=1&y#z.txt", "日本語/😀.bin", "quote'\"<>.txt"]


class Vendor:
    """A bucket of its own, and links into it."""

    def __init__(self, server: ObjectServer) -> None:
        self.bucket = f"presigned-{secrets.token_hex(4)}"
        self.client: Any = client_of(server)
        self.client.create_bucket(Bucket=self.bucket)
        self._server = server
        self._rules = source_rules([self.bucket], server.url, server.region, [])

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/pdf")

    def link(self, key: str) -> Location:
        params = {"Bucket": self.bucket, "Key": key}
        return parse_url(self.client.generate_presigned_url("get_object", params, ExpiresIn=60), self._rules)

    def link_of_yesterday(self, key: str) -> Location:
        """Signed by version 4 as of a day ago, good for a minute."""
        day, server = datetime.now(UTC) - timedelta(days=1), self._server
        scope = f"{day:%Y%m%d}/{server.region}/s3/aws4_request"
        fields = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{server.access_key}/{scope}",
            "X-Amz-Date": f"{day:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": "60",
            "X-Amz-SignedHeaders": "host",
        }
        query, host = urlencode(fields), server.url.removeprefix("http://")
        asked = f"GET\n/{self.bucket}/{key}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        to_sign = "\n".join(
            [fields["X-Amz-Algorithm"], fields["X-Amz-Date"], scope, sha256(asked.encode()).hexdigest()]
        )
        signer = f"AWS4{server.secret_key}".encode()
        for step in (*scope.split("/"), to_sign):
            signer = hmac.digest(signer, step.encode(), "sha256")
        return parse_url(f"{server.url}/{self.bucket}/{key}?{query}&X-Amz-Signature={signer.hex()}", self._rules)


async def failure(source: WebSource, location: Location) -> FailureClass:
    with pytest.raises(Refused) as caught:
        await body_of(source, location)
    assert "X-Amz-Signature" not in str(caught.value)
    return caught.value.failure


async def test_presigned_links_are_read_with_their_facts_whatever_the_key(swift: ObjectServer) -> None:
    vendor = await asyncio.to_thread(Vendor, swift)
    async with open_web([origin(swift.url)], NetworkSettings()) as client:
        source = WebSource(client, SystemClock())
        for key in KEYS:
            body = key.encode() * 300
            await asyncio.to_thread(vendor.put, key, body)
            location = vendor.link(key)
            assert location.presigned
            facts = await source.facts(location)
            assert (facts.size, facts.headers.content_type, facts.etag_is_md5) == (len(body), "application/pdf", True)
            assert await body_of(source, location, facts) == body


async def test_dead_and_broken_links_have_their_class(swift: ObjectServer) -> None:
    vendor = await asyncio.to_thread(Vendor, swift)
    await asyncio.to_thread(vendor.put, "a.pdf", b"x")
    async with open_web([origin(swift.url)], NetworkSettings()) as client:
        source = WebSource(client, SystemClock())
        expired = vendor.link_of_yesterday("a.pdf")
        broken = vendor.link("a.pdf")
        assert await failure(source, expired) is FailureClass.EXPIRED_LINK
        assert await failure(source, vendor.link("absent.pdf")) is FailureClass.SOURCE_MISSING
        tampered = Location(broken.origin, broken.url[:-4] + "0000", broken.bucket, broken.key, presigned=True)
        assert await failure(source, tampered) is FailureClass.SOURCE_DENIED


async def test_an_empty_file_behind_a_presigned_link_is_a_file(swift: ObjectServer) -> None:
    vendor = await asyncio.to_thread(Vendor, swift)
    await asyncio.to_thread(vendor.put, "empty.txt", b"")
    async with open_web([origin(swift.url)], NetworkSettings()) as client:
        source = WebSource(client, SystemClock())
        facts = await source.facts(vendor.link("empty.txt"))
        assert facts.size == 0
        assert await body_of(source, vendor.link("empty.txt"), facts) == b""
