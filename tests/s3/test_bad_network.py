"""A network that breaks between us and a real store: what is stored is whole, and nothing is left open."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.limiting.limiters import Limiters
from engine.model.byte_units import MIB
from engine.model.errors import Transient
from engine.model.failures import FailureClass
from engine.rehearsal.object_faults import Fault
from engine.rehearsal.objects import ObjectServer
from engine.rehearsal.side_door import SideDoor
from engine.s3.open import S3, open_s3
from tests.support.fakes.files import no_more_files
from tests.support.s3 import SMALL_PARTS, Bytes, at, settings_for
from tests.support.servers.client import client_of

BODY = b"0123456789abcdef" * (11 * MIB // 16)


class Hasty(SystemClock):
    """Waits no longer than it must."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def breaking(
    moto: ObjectServer, transport: Any, *faults: Fault, limiters: Limiters | None = None
) -> AsyncIterator[tuple[S3, Any, str]]:
    client, bucket = client_of(moto), f"shaky-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=bucket)
    client.create_bucket(Bucket=f"vendor-{bucket}")
    client.put_object(Bucket=f"vendor-{bucket}", Key="a", Body=BODY)
    door = SideDoor(moto)
    async with open_s3(
        settings_for(moto, f"vendor-{bucket}", bucket),
        Hasty(),
        transport=transport,
        sizes=SMALL_PARTS,
        limiters=limiters,
    ) as s3:
        await door.misbehave(*(replace(fault, path=f"{bucket}.*{fault.path}") for fault in faults))
        try:
            yield s3, client, bucket
        finally:
            await door.misbehave()
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


async def test_a_part_that_fails_once_is_sent_again(moto: ObjectServer, transport: Any) -> None:
    lost = Fault("reset", path="partNumber=2", times=1)
    async with breaking(moto, transport, lost) as (s3, client, bucket):
        stored = await s3.destination.store(Bytes([BODY]), "k")
        assert stored.facts.size == len(BODY)
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY


async def test_a_copied_part_that_fails_once_is_copied_again(moto: ObjectServer, transport: Any) -> None:
    lost = Fault("reset", path="partNumber=2", times=1, when="after")
    async with breaking(moto, transport, lost) as (s3, client, bucket):
        facts = await s3.source.facts(at(f"vendor-{bucket}", "a"))
        await s3.destination.copy(at(f"vendor-{bucket}", "a"), facts, "k")
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY


async def test_a_part_that_never_arrives_ends_the_upload(moto: ObjectServer, transport: Any) -> None:
    async with breaking(moto, transport, Fault("reset", path="partNumber=2")) as (s3, _client, _bucket):
        with pytest.raises(Transient) as failed:
            await s3.destination.store(Bytes([BODY]), "k")
        assert failed.value.failure is FailureClass.NETWORK
        assert await s3.destination.facts("k") is None


async def test_a_completion_whose_answer_is_lost_still_counts(moto: ObjectServer, transport: Any) -> None:
    lost = Fault("reset", method="POST", nth=(2,), when="after")
    async with breaking(moto, transport, lost) as (s3, client, bucket):
        stored = await s3.destination.store(Bytes([BODY]), "k")
        assert stored.facts.etag.endswith("-3")
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY


async def test_a_begun_upload_whose_answer_is_lost_fails_for_now(moto: ObjectServer, transport: Any) -> None:
    """Its id is unknown to us, so only the next run's sweep can end it; here the test does."""
    lost = Fault("reset", method="POST", nth=(1,), when="after")
    async with breaking(moto, transport, lost) as (s3, _client, _bucket):
        key = "uploads/001000000000001AAA/a0B000000000001AAA/x.bin"
        with pytest.raises(Transient):
            await s3.destination.store(Bytes([BODY]), key)
        assert await s3.sweep() == 1


@pytest.mark.parametrize(
    ("kind", "failure"), [("flipped_byte", FailureClass.CHECKSUM_MISMATCH), ("truncated_body", FailureClass.NETWORK)]
)
async def test_a_body_spoilt_on_its_way_is_not_stored(
    moto: ObjectServer, transport: Any, kind: Any, failure: FailureClass
) -> None:
    async with breaking(moto, transport, Fault(kind, method="GET", at=8 * MIB)) as (s3, _client, bucket):
        facts = await s3.source.facts(at(f"vendor-{bucket}", "a"))
        with pytest.raises(Transient) as spoilt:
            async with s3.source.open(at(f"vendor-{bucket}", "a"), facts) as stream:
                await s3.destination.store(stream, "k")
        assert spoilt.value.failure is failure
        assert await s3.destination.facts("k") is None


async def test_where_no_more_files_may_be_opened_requests_wait_for_their_turn(
    moto: ObjectServer, transport: Any
) -> None:
    limiters = Limiters(Hasty(), 8)
    async with breaking(moto, transport, limiters=limiters) as (s3, _, bucket):
        source = at(f"vendor-{bucket}", "a")
        with no_more_files(), pytest.raises(Transient, match="open files") as caught:
            await s3.source.facts(source)
        assert caught.value.failure is FailureClass.THROTTLED
        assert limiters.source.refusals == 1
        assert (await s3.source.facts(source)).size == len(BODY)
