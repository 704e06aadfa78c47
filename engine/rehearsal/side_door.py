"""The way into the stand-in object store that no S3 client has: fill it fast, read it whole, watch it, make it fail."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from engine.rehearsal.object_faults import Fault
from engine.rehearsal.objects import ObjectServer

_LOAD_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Seeded:
    """An object to load: ``body``, or ``size`` bytes of ``content_of(seed or key, size)``, made anew at every read.

    ``etag`` (no quotes) poses as the result of a multipart upload, ``part_bytes`` makes it one, of parts of that size.
    ``checksum`` names the algorithm of the one it has (``crc64nvme``). ``headers`` are Cache-Control and the like.
    """

    key: str
    size: int = 0
    body: bytes | None = None
    seed: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None
    etag: str | None = None
    part_bytes: int | None = None
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load put, and the seconds the store itself took."""

    objects: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Held:
    """An object as the store holds it; ``etag`` and ``sha256`` are hex without quotes."""

    key: str
    size: int
    etag: str
    sha256: str
    content_type: str | None
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    storage_class: str
    sse: str | None
    kms_key_id: str | None
    version_id: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request the store saw. ``path`` is decoded; ``status`` 0 means no answer; signatures are masked."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    signed: bool
    status: int
    fault: str | None


class SideDoor:
    """Side door of one store. Every call raises ValueError where the store refuses it."""

    def __init__(self, server: ObjectServer) -> None:
        self._url = server.url

    async def create_buckets(self, *names: str, region: str = "us-east-1", versioned: bool = False) -> None:
        """Make these buckets; those that exist stay as they are."""
        await self._ask("POST", "buckets", {"names": names, "region": region, "versioned": versioned})

    async def load(self, bucket: str, objects: Iterable[Seeded]) -> Loaded:
        """Put objects, tens of thousands a second."""
        total = Loaded(0, 0, 0.0)
        batch: list[bytes] = []
        for item in objects:
            batch.append(_line(bucket, item))
            if len(batch) == _LOAD_BATCH:
                total = await self._load(total, batch)
                batch.clear()
        return await self._load(total, batch) if batch else total

    async def dump(self, bucket: str) -> dict[str, Held]:
        """Every current object of a bucket by key, in key order."""
        text = await self._ask("GET", "dump", bucket=bucket)
        held = (Held(**json.loads(line)) for line in text.splitlines())
        return {item.key: item for item in held}

    async def open_uploads(self, bucket: str) -> list[dict[str, Any]]:
        """Multipart uploads neither completed nor aborted: ``upload_id``, ``key``, number of ``parts``."""
        return list(json.loads(await self._ask("GET", "uploads", bucket=bucket)))

    async def requests(self) -> list[Asked]:
        """The requests since the last clearing, oldest first; the last 100,000 at most."""
        return [Asked(**entry) for entry in json.loads(await self._ask("GET", "log"))["requests"]]

    async def counts(self) -> dict[str, dict[str, int]]:
        """How many requests each bucket got since the last clearing, by method."""
        return dict(json.loads(await self._ask("GET", "log"))["counts"])

    async def clear_requests(self) -> None:
        """Forget the requests so far."""
        await self._ask("DELETE", "log")

    async def misbehave(self, *rules: Fault) -> None:
        """These rules from now on, counted from zero; without any the store behaves."""
        await self._ask("PUT", "faults", [dataclasses.asdict(rule) for rule in rules])

    async def fired(self) -> list[int]:
        """How often each rule fired, in the order given."""
        return [rule["fired"] for rule in json.loads(await self._ask("GET", "faults"))]

    async def reset(self) -> None:
        """Forget buckets, objects, requests and rules."""
        await self._ask("POST", "reset")

    async def _load(self, before: Loaded, batch: list[bytes]) -> Loaded:
        now = Loaded(**json.loads(await self._ask("POST", "load", b"\n".join(batch))))
        return Loaded(before.objects + now.objects, before.bytes + now.bytes, before.seconds + now.seconds)

    async def _ask(self, method: str, door: str, body: object = None, **query: str) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self._url}/__{door}__"
        async with aiohttp.ClientSession() as session, session.request(method, url, data=data, params=query) as answer:
            text = await answer.read()
            if answer.status != 200:
                raise ValueError(f"{door}: {text.decode(errors='replace')}")
            return text


def _line(bucket: str, item: Seeded) -> bytes:
    entry = {name: value for name, value in dataclasses.asdict(item).items() if value not in (None, {})}
    if item.body is not None:
        entry["body_b64"] = base64.b64encode(entry.pop("body")).decode()
    return json.dumps({"bucket": bucket, **entry}).encode()
