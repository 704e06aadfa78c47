"""Backups of hundreds of records on SeaweedFS, which tells checksums: within it, and to it from another service."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.objects import ObjectServer
from tests.support.acceptance import RECORDS, differences, load, on_stage, run, side
from tests.support.servers.client import client_of


@pytest.mark.seaweed
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("method", "bucket"), [("server_copy", "seaweed-own"), ("stream", "from-elsewhere")])
async def test_a_backup_ends_as_expected_and_its_copies_verify(
    tmp_path: Path, seaweed: ObjectServer, method: str, bucket: str
) -> None:
    overrides: dict[str, dict[str, Any]] = {"destination": {**side(seaweed), "bucket": bucket}}
    if method == "server_copy":
        overrides["source"] = side(seaweed)
    async with on_stage(tmp_path, overrides) as place:
        if method == "server_copy":
            await asyncio.to_thread(load, seaweed, VENDOR_BUCKET, place.world.objects)
        await asyncio.to_thread(client_of(seaweed).create_bucket, Bucket=bucket)
        code, report = await run(place, "run", "backup", "--full")
        again, second = await run(place, "run", "backup", "--full")
        verified, levels = await run(place, "verify", "--level", "head", "--source")
        problems = await asyncio.to_thread(differences, place, seaweed, bucket, guesses=True)

    assert code == again == 3
    assert problems == []
    assert report["methods"][method] > 0.8 * RECORDS
    assert second["records"]["backed_up"] == 0
    assert Counter(report["failures"]) == Counter(e.failure for e in place.world.expected if e.failure)
    assert (verified, levels["counts"]["match"]) == (0, report["records"]["backed_up"])
