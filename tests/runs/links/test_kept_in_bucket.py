"""The rollback file in our bucket: sent a piece at a time, and never called there where something else lies."""

from __future__ import annotations

import gc
import secrets
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from engine.limiting.clock import SystemClock
from engine.limiting.retry import Retries
from engine.model.byte_units import MIB
from engine.rehearsal.objects import ObjectServer
from engine.runs.links.rollback_file import RollbackFile, keep_in_bucket
from engine.runs.shared.assembly import Services
from engine.s3.open import open_s3
from engine.tracking.db.chain import Key
from tests.support.s3 import SMALL_PARTS, settings_for
from tests.support.servers.client import client_of

KEY = Key(b"a secret of some length")


@asynccontextmanager
async def bucket(moto: ObjectServer) -> AsyncIterator[tuple[Services, Any]]:
    client, name = client_of(moto), f"kept-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    settings = settings_for(moto, f"vendor-{name}", name)
    async with open_s3(settings, SystemClock(), transport="fast", sizes=SMALL_PARTS) as s3:
        services = SimpleNamespace(s3=s3, retries=Retries(SystemClock(), 2), ours=settings.destination)
        yield cast("Services", services), lambda key: client.get_object(Bucket=name, Key=key)["Body"].read()


def ended(path: Path) -> RollbackFile:
    file = RollbackFile(path, KEY, {"run": 12})
    file.end("2026-11-22T10:00:00Z")
    return file


async def test_a_file_of_the_same_size_and_other_content_is_not_the_one_that_is_there(
    moto: ObjectServer, tmp_path: Path
) -> None:
    file = ended(tmp_path / "t.db.rollback-12.ndjson")
    text = file.path.read_bytes()
    folder = f".engine/rollback/{KEY.fingerprint}/"
    async with bucket(moto) as (services, content):
        for _ in range(2):
            assert (await keep_in_bucket(services, file, KEY)).endswith(f"/{folder}t.db.rollback-12.ndjson")
        other = text.replace(b"10:00:00", b"11:00:00")
        file.path.write_bytes(other)
        assert (await keep_in_bucket(services, file, KEY)).endswith(f"/{folder}t.db.rollback-12-2.ndjson")
        assert content(f"{folder}t.db.rollback-12.ndjson") == text
        assert content(f"{folder}t.db.rollback-12-2.ndjson") == other


async def test_a_file_is_sent_and_compared_in_memory_that_does_not_grow_with_it(
    moto: ObjectServer, tmp_path: Path
) -> None:
    peaks = []
    async with bucket(moto) as (services, content):
        for size in (30 * MIB, 60 * MIB):
            file = ended(tmp_path / f"{size}.ndjson")
            with file.path.open("ab") as out:
                out.truncate(size)
            gc.collect()
            tracemalloc.start()
            try:
                said = [await keep_in_bucket(services, file, KEY) for _ in range(2)]
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            assert said[0] == said[1], "what is there was not known again"
            assert len(content(f".engine/rollback/{KEY.fingerprint}/{size}.ndjson")) == size
    assert peaks[1] - peaks[0] < 5 * MIB, peaks
