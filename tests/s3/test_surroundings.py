"""Regions, routes, denials, proxies and authorities: what surrounds the copying."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import SystemClock
from engine.model.errors import Blocked, Refused, Transient, Usage
from engine.model.facts import Method, ObjectFacts, Uncopyable
from engine.model.failures import FailureClass
from engine.model.location import Origin
from engine.s3.api.address import Address
from engine.s3.api.answers import StoreError
from engine.s3.api.credentials import Keyring, Keys
from engine.s3.api.fast import FastClient
from engine.s3.api.faults import Patience, Side
from engine.s3.open import S3, open_s3
from engine.s3.transfer.destination import S3Destination
from engine.s3.transfer.target import Bucket
from engine.s3.wire.wire import Wire
from tests.support.s3 import Bytes, at, settings_for
from tests.support.s3_double import MD5, aws, document
from tests.support.servers.capture import Double, Recorded, Reply, capture_server

DENIED = Reply(403, {}, document("Error", Code="AccessDenied"))


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def facing(transport: Any, otherwise: Any, **more: Any) -> AsyncIterator[tuple[S3, Double]]:
    async with capture_server(otherwise=otherwise) as double:
        settings = settings_for(double.server, **more)
        async with open_s3(settings, SystemClock(), transport=transport) as s3:
            yield s3, double


class Regions:
    """Two regions on one double: each bucket answers only where it lives, and names the place elsewhere."""

    def __init__(self, **homes: str) -> None:
        self.homes = homes
        self.asked: list[str] = []

    def __call__(self, request: Recorded) -> Reply:
        _, region, bucket, *_ = request.path.split("/")
        self.asked.append(f"{request.method} {region}/{bucket}")
        home = self.homes.get(bucket)
        if home is None:
            return Reply(404)
        named = {"x-amz-bucket-region": home}
        if home != region:
            return Reply(301, named)
        if "authorization" not in request.headers:
            return Reply(403, named)
        assert f"/{region}/s3/" in request.headers["authorization"]
        return Reply(200, {**named, "ETag": '"e"'})


@asynccontextmanager
async def roaming(regions: Regions) -> AsyncIterator[FastClient]:
    clock = SystemClock()
    async with capture_server(otherwise=regions) as double, Wire(limit=4, clock=clock) as wire:
        parts = urlsplit(double.url)
        origin = Origin("http", parts.hostname or "", parts.port or 0)

        def where(bucket: str, region: str) -> Address:
            return Address(origin, parts.netloc, f"/{region}/{bucket}", region)

        yield FastClient(
            wire,
            clock,
            Keyring(clock, "source", keys=Keys("AK", "S")),
            where,
            region="us-east-1",
            roams=True,
            home="ours",
        )


async def test_a_buckets_region_is_asked_for_once_and_kept() -> None:
    regions = Regions(far="eu-west-1", near="us-east-1", ours="us-east-1")
    async with roaming(regions) as client:
        for _ in range(2):
            await client.head("far", "k", {})
            await client.head("near", "k", {})
            await client.head("ours", "k", {})
    assert regions.asked == [
        "HEAD us-east-1/far",
        "HEAD eu-west-1/far",
        "HEAD us-east-1/near",
        "HEAD us-east-1/near",
        "HEAD us-east-1/ours",
        "HEAD eu-west-1/far",
        "HEAD us-east-1/near",
        "HEAD us-east-1/ours",
    ]


async def test_a_bucket_that_lives_nowhere_is_said_to_be_missing() -> None:
    async with roaming(Regions()) as client:
        with pytest.raises(StoreError, match="NoSuchBucket"):
            await client.head("nowhere", "k", {})


@pytest.mark.parametrize("source_open", [True, False])
async def test_a_denied_copy_is_laid_at_the_door_of_the_source_or_left_to_a_stream(
    transport: Any, source_open: bool
) -> None:
    def answer(request: Recorded) -> Reply:
        if request.method == "HEAD" and request.path.startswith("/vendor"):
            return Reply(200, {"ETag": f'"{MD5}"', "Content-Length": "5"}, length=False) if source_open else Reply(403)
        return DENIED if request.method in {"PUT", "GET"} else aws(request)

    async with facing(transport, answer) as (s3, _):
        with pytest.raises(Uncopyable if source_open else Refused) as refused:
            await s3.destination.copy(at("vendor", "a"), ObjectFacts(5, MD5), "k")
        assert source_open or refused.value.failure is FailureClass.SOURCE_DENIED


@pytest.mark.parametrize("head", ["vendor-login", "our-login", ""])
async def test_the_route_is_found_by_who_may_read(transport: Any, head: str) -> None:
    def answer(request: Recorded) -> Reply:
        allowed = head and f"Credential={head}/" in request.headers.get("authorization", "")
        return aws(request) if allowed else Reply(403)

    expected = {"vendor-login": Method.STREAM, "our-login": Method.SERVER_COPY, "": Method.HTTP}
    sides = {"source_keys": ("vendor-login", "s"), "destination_keys": ("our-login", "s")}
    async with facing(transport, answer, **sides) as (s3, double):
        route = await s3.source_access.probe([at("vendor", "a"), at("vendor", "b")])
        assert route.method is expected[head]
        assert {each.method for each in double.requests} <= {"HEAD", "GET"}


async def test_a_store_that_is_spelt_in_two_ways_is_still_one_and_copies_by_itself(transport: Any) -> None:
    async with capture_server(otherwise=aws) as double:
        spelt = f"{double.url.replace('127.0.0.1', 'LOCALHOST')}/"
        settings = settings_for(double.server, source={"endpoint_url": spelt})
        async with open_s3(settings, SystemClock(), transport=transport) as s3:
            assert (await s3.source_access.probe([at("vendor", "a")])).method is Method.SERVER_COPY


async def test_without_credentials_of_its_own_a_source_goes_by_http(
    transport: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    keyless = {"access_key_id": None, "secret_access_key": None}
    async with facing(transport, Reply(403), source=keyless) as (s3, _):
        assert (await s3.source_access.probe([at("vendor", "a")])).method is Method.HTTP


async def test_a_destination_without_credentials_does_not_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    keyless = {"access_key_id": None, "secret_access_key": None}
    async with capture_server() as double:
        with pytest.raises(Blocked, match="no AWS credentials for the destination"):
            async with open_s3(settings_for(double.server, destination=keyless), SystemClock()):
                pass


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(404), "does not exist"),
        (DENIED, "denied"),
        (Reply(403, {}, document("Error", Code="InvalidAccessKeyId")), "unknown to the store"),
        (Reply(301, {"x-amz-bucket-region": "eu-west-1"}), "region"),
    ],
)
async def test_an_unfit_destination_is_named_with_its_fix(transport: Any, reply: Reply, says: str) -> None:
    async with facing(transport, reply) as (s3, _):
        with pytest.raises(Blocked, match=says) as blocked:
            await s3.destination.check()
        assert blocked.value.hint


@pytest.mark.parametrize("lives_in", ["us-east-1", "eu-west-1"])
async def test_the_bucket_must_live_where_the_settings_say(transport: Any, lives_in: str) -> None:
    async with facing(transport, Reply(200, {"x-amz-bucket-region": lives_in})) as (s3, _):
        clock = SystemClock()
        patience = Patience(clock, Side.DESTINATION)
        bucket = Bucket(s3.destination.bucket.client, "ours", {}, "us-east-1")
        policy = s3.destination.policy
        ours = S3Destination(bucket, patience, clock, policy, source_headers={}, budget=BytesInFlight(1))
        if lives_in == "us-east-1":
            await ours.check()
            return
        with pytest.raises(Blocked, match="lives in eu-west-1") as blocked:
            await ours.check()
        assert blocked.value.hint == "set destination.region: eu-west-1"


async def test_a_busy_store_is_no_unfit_destination(transport: Any) -> None:
    async with facing(transport, Reply(503, {"Retry-After": "4"})) as (s3, _):
        with pytest.raises(Transient) as busy:
            await s3.destination.check()
        assert (busy.value.failure, busy.value.retry_after_s) == (FailureClass.THROTTLED, 4.0)


async def test_an_archived_object_is_refused_at_the_look(transport: Any) -> None:
    frozen = Reply(200, {"ETag": '"e"', "Content-Length": "5", "x-amz-storage-class": "GLACIER"}, length=False)
    async with facing(transport, frozen) as (s3, _):
        with pytest.raises(Refused) as refused:
            await s3.source.facts(at("vendor", "a"))
        assert refused.value.failure is FailureClass.ARCHIVED


async def test_a_proxy_is_the_only_way_out(transport: Any) -> None:
    async with capture_server(otherwise=aws) as store, capture_server(otherwise=Reply(502)) as proxy:
        settings = settings_for(store.server, network={"proxy": proxy.url})
        async with open_s3(settings, SystemClock(), transport=transport) as s3:
            with pytest.raises(Transient):
                await s3.source.facts(at("vendor", "a"))
        assert proxy.requests
        assert store.connections == 0


async def test_endpoints_and_proxies_that_are_exported_have_no_say(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with capture_server(otherwise=aws) as elsewhere, capture_server(otherwise=Reply(502)) as proxy:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, elsewhere.url)
        aws_itself = {"endpoint_url": None}
        settings = settings_for(
            elsewhere.server, network={"proxy": proxy.url}, source=aws_itself, destination=aws_itself
        )
        async with open_s3(settings, SystemClock(), transport=transport) as s3:
            with pytest.raises(Transient):
                await s3.source.facts(at("vendor", "a"))
        assert {each.method for each in proxy.requests} == {"CONNECT"}  # to AWS, over https
        assert elsewhere.connections == 0


async def test_a_certificate_file_that_is_none_is_a_settings_error(tmp_path: Path) -> None:
    junk = tmp_path / "ca.pem"
    junk.write_text("no certificate")
    async with capture_server() as double:
        with pytest.raises(Usage, match=r"ca\.pem"):
            async with open_s3(settings_for(double.server, network={"ca_file": str(junk)}), SystemClock()):
                pass


async def test_the_bandwidth_cap_hears_of_every_byte(transport: Any) -> None:
    spent: list[int] = []

    async def spend(nbytes: int) -> None:
        spent.append(nbytes)

    async with (
        capture_server(otherwise=aws) as double,
        open_s3(settings_for(double.server), SystemClock(), transport=transport, spend=spend) as s3,
    ):
        await s3.destination.store(Bytes([b"abc", b"defg"]), "k")
    assert spent == [3, 4]


def test_importing_the_floor_does_not_import_the_sdk() -> None:

    code = "import sys, engine.s3.open; print('aiobotocore' in sys.modules, 'botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_crc64nvme_without_its_package_blocks_the_run_before_it_starts() -> None:
    code = (
        "import sys; sys.modules['awscrt'] = None\n"
        "from engine.s3.transfer.hashing import crc64nvme\n"
        "from engine.model.errors import Blocked\n"
        "try: crc64nvme(b'')\n"
        "except Blocked as blocked: print(blocked.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'engine[crt]'" in done.stdout
    assert "checksum: sha256" in done.stdout
