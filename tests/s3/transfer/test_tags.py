"""Object tags: carried on every way through S3, left behind where a right is missing, never in the way of a copy."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.byte_units import MIB
from engine.model.errors import Refused
from engine.model.facts import ContentHeaders, ObjectFacts
from engine.model.failures import FailureClass
from engine.rehearsal.objects import ObjectServer
from engine.s3.api.xml import rows_of
from engine.s3.open import S3, open_s3
from engine.s3.transfer.extras import SETTLED
from tests.support.s3 import SMALL_PARTS, Bytes, at, settings_for
from tests.support.s3_double import MD5, aws, by, document, facing
from tests.support.servers.capture import Recorded, Reply
from tests.support.servers.client import client_of

TAGS = {"kind": "lease = loan", "at": "2026/11+1 @x"}
DENIED = Reply(403, {}, document("Error", Code="AccessDenied"))
FACTS = ObjectFacts(5, MD5)


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def world(moto: ObjectServer, transport: Any, tags: str) -> AsyncIterator[tuple[S3, Any, str, str]]:
    client, ours = client_of(moto), f"tags-{secrets.token_hex(6)}"
    vendor = f"vendor-{ours}"
    for bucket in (ours, vendor):
        client.create_bucket(Bucket=bucket)
    for key, size in (("small", 900), ("large", 11 * MIB)):
        client.put_object(Bucket=vendor, Key=key, Body=b"x" * size)
        pairs = [{"Key": name, "Value": value} for name, value in TAGS.items()]
        client.put_object_tagging(Bucket=vendor, Key=key, Tagging={"TagSet": pairs})
    async with open_s3(
        settings_for(moto, vendor, ours, migration={"tags": tags}),
        SystemClock(),
        transport=transport,
        sizes=SMALL_PARTS,
    ) as s3:
        yield s3, client, vendor, ours


@pytest.mark.parametrize("tags", ["keep", "drop"])
async def test_tags_travel_on_every_way_or_on_none(moto: ObjectServer, transport: Any, tags: str) -> None:
    async with world(moto, transport, tags) as (s3, client, vendor, ours):
        for key in ("small", "large"):
            listed = ObjectFacts(900 if key == "small" else 11 * MIB)
            await s3.destination.copy(at(vendor, key), await s3.source.facts(at(vendor, key)), f"copied/{key}")
            for name, facts in (("listed", listed), ("unlisted", None)):
                async with s3.source.open(at(vendor, key), facts) as stream:
                    await s3.destination.store(stream, f"{name}/{key}")
            for name in ("copied", "listed", "unlisted"):
                found = client.get_object_tagging(Bucket=ours, Key=f"{name}/{key}")["TagSet"]
                assert {each["Key"]: each["Value"] for each in found} == (TAGS if tags == "keep" else {}), (name, key)
        assert s3.destination.policy.tags.note() == ""


async def test_a_file_without_tags_costs_no_further_request(transport: Any) -> None:
    async with facing(transport) as (s3, double):
        async with s3.source.open(at("vendor", "a"), ObjectFacts(5)) as stream:
            await s3.destination.store(stream, "k")
        assert not [each for each in double.requests if "tagging" in each.target]
        assert not [each for each in double.requests if "x-amz-tagging" in each.headers]


def guarded(request: Recorded) -> Reply:
    """A store whose vendor tags objects and lets nobody read the tags."""
    copies = "x-amz-copy-source" in request.headers and "partNumber" not in request.target
    if copies and request.headers.get("x-amz-tagging-directive") != "REPLACE":
        return DENIED
    if "tagging" in request.target:
        return DENIED
    reply = aws(request)
    if request.path.startswith("/vendor"):
        return Reply(reply.status, {**reply.headers, "x-amz-tagging-count": "2"}, reply.body, reply.length)
    return reply


async def test_a_tagged_source_without_the_right_to_its_tags_is_copied_without_them(transport: Any) -> None:
    async with facing(transport, otherwise=guarded) as (s3, double):
        for number in range(SETTLED):
            await s3.destination.copy(at("vendor", "a"), FACTS, f"k{number}")
        double.requests.clear()
        await s3.destination.copy(at("vendor", "a"), FACTS, "last")
        assert {each.headers["x-amz-tagging-directive"] for each in by(double, "PUT")} == {"REPLACE"}
        assert "s3://vendor" in s3.destination.policy.tags.note()
        assert "s3:GetObjectTagging" in s3.destination.policy.tags.note()


async def test_one_odd_object_does_not_cost_the_others_their_tags(transport: Any) -> None:
    async with facing(transport, otherwise=lambda r: guarded(r) if "odd" in str(r.headers) else aws(r)) as (s3, double):
        await s3.destination.copy(at("vendor", "odd"), FACTS, "k")
        double.requests.clear()
        await s3.destination.copy(at("vendor", "a"), FACTS, "other")
        assert not [each for each in double.requests if "x-amz-tagging-directive" in each.headers]


async def test_a_source_that_may_not_be_read_at_all_is_denied_as_before(transport: Any) -> None:
    def answer(request: Recorded) -> Reply:
        if request.path.startswith("/vendor") or "x-amz-copy-source" in request.headers:
            return DENIED if request.method != "HEAD" else Reply(403)
        return aws(request)

    async with facing(transport, otherwise=answer) as (s3, double):
        with pytest.raises(Refused) as refused:
            await s3.destination.copy(at("vendor", "a"), FACTS, "k")
        assert refused.value.failure is FailureClass.SOURCE_DENIED
        assert not [each for each in double.requests if "x-amz-tagging-directive" in each.headers]
        assert s3.destination.policy.tags.note() == ""


async def test_tags_that_may_not_be_read_are_no_hindrance_for_streams_and_parts(transport: Any) -> None:
    async with facing(transport, otherwise=guarded) as (s3, double):
        async with s3.source.open(at("vendor", "a"), ObjectFacts(5)) as stream:
            await s3.destination.store(stream, "k")
        assert by(double, "GET", "tagging")
        assert "x-amz-tagging" not in by(double, "PUT")[0].headers
        assert "s3://vendor" in s3.destination.policy.tags.note()


@pytest.mark.parametrize(
    "refusal", [DENIED, Reply(501, {}, document("Error", Code="NotImplemented"))], ids=["403", "501"]
)
async def test_tags_that_may_not_be_written_are_left_behind(transport: Any, refusal: Reply) -> None:
    dressed = ContentHeaders(tags=(("a b", "c"),))

    async with facing(
        transport, otherwise=lambda r: refusal if "x-amz-tagging" in r.headers else aws(r), migration={"tags": "keep"}
    ) as (s3, double):
        await s3.destination.store(Bytes(b"hello", headers=dressed), "k")
        tried = [each.headers.get("x-amz-tagging") for each in by(double, "PUT")]
        assert (tried[0], tried[-1]) == ("a%20b=c", None)
        await s3.destination.store(Bytes([b"x" * MIB] * 12, headers=dressed), "large")
        tried = [each.headers.get("x-amz-tagging") for each in by(double, "POST", "uploads")]
        assert (tried[0], tried[-1]) == ("a%20b=c", None)
        assert "s3://ours" in s3.destination.policy.tags.note()


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>", [{"Key": "a", "Value": "b"}]),
        (b"<Tagging><TagSet/></Tagging>", []),
        (b"<Tagging><Tag>x<Tag>y</Tag><Key>a</Key></Tag></Tagging>", [{}, {"Tag": "y", "Key": "a"}]),
    ],
)
def test_rows_are_found_at_any_depth_and_odd_ones_do_no_harm(body: bytes, rows: list[dict[str, str]]) -> None:
    assert rows_of(body, "Tagging", "Tag")[1] == rows
    assert rows_of(b"<Tag><Key>a</Key></Tag>", "Tag", "Tag")[1] == []
