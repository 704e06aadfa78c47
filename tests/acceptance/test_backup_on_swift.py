"""Backups of hundreds of records on a real, strict S3 server: within one service, and from one service to another.

The stand-in store accepts wrong secrets; Swift does not, and it answers 412 to every conditional CopyObject.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.objects import ObjectServer
from tests.support.acceptance import RECORDS, differences, load, on_stage, run, side
from tests.support.servers.client import client_of


@pytest.mark.swift
@pytest.mark.timeout(300)
async def test_hundreds_of_records_within_one_strict_service(tmp_path: Path, swift: ObjectServer) -> None:
    async with on_stage(
        tmp_path, {"source": side(swift), "destination": {**side(swift), "bucket": "swift-own"}}
    ) as place:
        await asyncio.to_thread(load, swift, VENDOR_BUCKET, place.world.objects)
        await asyncio.to_thread(client_of(swift).create_bucket, Bucket="swift-own")
        code, report = await run(place, "run", "backup", "--full")
        again, second = await run(place, "run", "backup", "--full")
        problems = await asyncio.to_thread(differences, place, swift, "swift-own")

    assert code == again == 3
    assert problems == []
    assert report["methods"]["server_copy"] > 0.8 * RECORDS
    assert second["records"]["backed_up"] == 0
    assert Counter(report["failures"]) == Counter(e.failure for e in place.world.expected if e.failure)


@pytest.mark.swift
@pytest.mark.timeout(300)
async def test_hundreds_of_records_from_one_service_to_another(tmp_path: Path, swift: ObjectServer) -> None:
    async with on_stage(tmp_path, {"destination": {**side(swift), "bucket": "from-elsewhere"}}) as place:
        await asyncio.to_thread(client_of(swift).create_bucket, Bucket="from-elsewhere")
        code, report = await run(place, "run", "backup", "--full")
        again, second = await run(place, "run", "backup", "--full")
        problems = await asyncio.to_thread(differences, place, swift, "from-elsewhere")

    assert code == again == 3
    assert problems == []
    assert report["methods"]["stream"] > 0.8 * RECORDS
    assert second["records"]["backed_up"] == 0
