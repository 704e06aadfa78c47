"""The short way of a copy: the fake of the pipeline's tests, and ours over the wire, on a real S3 API."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from engine.limiting.clock import SystemClock
from engine.model.facts import ObjectFacts
from engine.model.location import Location
from engine.model.ports import FastPath
from engine.rehearsal.objects import ObjectServer
from engine.s3.open import open_s3
from engine.s3.transfer.conditions import Conditional
from tests.support.fakes.stores import ORIGIN, FakeDestination, FakeFastPath, FakeObject, FakeSource
from tests.support.s3 import at, settings_for
from tests.support.servers.client import client_of


@dataclass
class Way:
    """One implementation; ``put`` fills the vendor's bucket or ours, ``held`` is what ours holds under a key."""

    fast_path: FastPath
    put: Callable[[str, str, bytes], None]
    held: Callable[[str], bytes]
    location: Callable[[str], Location]


@pytest.fixture(params=["fake", "moto"])
async def way(request: pytest.FixtureRequest) -> AsyncIterator[Way]:
    if request.param == "fake":
        source = FakeSource()
        destination = FakeDestination(source)
        sides = {"vendor": source.objects, "ours": destination.objects}
        yield Way(
            FakeFastPath(destination),
            lambda side, key, body: sides[side].update({key: FakeObject(body)}),
            lambda key: destination.objects[key].body,
            lambda key: Location(ORIGIN, "https://vendor/x", bucket="vendor", key=key),
        )
        return
    server: ObjectServer = request.getfixturevalue("moto")
    client = client_of(server)
    names = {side: f"{side}-{secrets.token_hex(6)}" for side in ("vendor", "ours")}
    for bucket in names.values():
        client.create_bucket(Bucket=bucket)
    async with open_s3(settings_for(server, **names), SystemClock()) as s3:
        assert s3.fast_path is not None
        await s3.destination.check()  # opens a connection
        s3.destination.copies.verdict = Conditional.HONOURED
        yield Way(
            s3.fast_path,
            lambda side, key, body: client.put_object(Bucket=names[side], Key=key, Body=body),
            lambda key: client.get_object(Bucket=names["ours"], Key=key)["Body"].read(),
            lambda key: at(names["vendor"], key),
        )
    client.close()


def listed(body: bytes) -> ObjectFacts:
    return ObjectFacts(len(body), hashlib.md5(body).hexdigest())


@pytest.mark.parametrize("key", ["plain.pdf", "a b+c/é ü.txt", "100%/50%25.txt", "quote'\"<>&amp;", "日本語/😀.bin"])
async def test_it_copies_what_was_listed(way: Way, key: str) -> None:
    way.put("vendor", key, b"hello")
    copying = way.fast_path.copy(way.location(key), listed(b"hello"), f"up/{key}")
    assert copying is not None
    stored = await copying

    assert stored is not None
    assert (stored.facts.etag, stored.facts.size) == (hashlib.md5(b"hello").hexdigest(), 5)
    assert way.held(f"up/{key}") == b"hello"


async def test_it_leaves_a_taken_key_as_it_is(way: Way) -> None:
    way.put("vendor", "a", b"hello")
    way.put("ours", "k", b"somebody else's")
    copying = way.fast_path.copy(way.location("a"), listed(b"hello"), "k")

    assert copying is not None
    assert await copying is None
    assert way.held("k") == b"somebody else's"


@pytest.mark.parametrize("now", [b"changed since", None])
async def test_it_copies_nothing_but_what_was_listed(way: Way, now: bytes | None) -> None:
    if now is not None:
        way.put("vendor", "a", now)
    copying = way.fast_path.copy(way.location("a"), listed(b"hello"), "k")

    assert copying is not None
    assert await copying is None
    with pytest.raises(Exception, match="k"):  # KeyError, NoSuchKey
        way.held("k")


async def test_a_source_of_several_parts_is_not_for_it(way: Way) -> None:
    assert way.fast_path.copy(way.location("a"), ObjectFacts(5, "ab" * 16 + "-2", etag_is_md5=False), "k") is None
