"""A backup in two processes leaves what one in this process does: row by row, but for times and tries."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.rehearsal.generator import Cast
from engine.rehearsal.stage import OUR_BUCKET, stage
from tests.support.corner import Corner, wait

RECORDS = 600
CAST = Cast(duplicate=0.08, missing=0.03, archived=0.02, html=0.01, mean_bytes=2_000, large=0)
TIMES = {
    "id",
    "backup_timestamp",
    "created_date",
    "updated_date",
    "verified_at",
    "last_modified_sf",
    "timestamp",
    "attempts",
}
"""Not compared. How many tries a file took depends on what else was under way when the store refused."""


@dataclass(frozen=True, slots=True)
class Left:
    """What two runs have left."""

    rows: dict[str, dict[str, Any]]
    errors: Counter[tuple[tuple[str, Any], ...]]
    runs: list[dict[str, Any]]
    objects: dict[str, tuple[int, str]]
    said: list[Any]


def left_by(directory: Path, records: int, *executor: str) -> Left:
    """A full backup with a store that refuses now and then, and one that follows, on a stage of its own."""
    with asyncio.Runner() as runner:
        overrides: dict[str, dict[str, Any]] = {"network": {"loopback_only": False}}
        play = stage(directory, records, 11, overrides=overrides, cast=CAST)
        place = runner.run(play.__aenter__())
        try:
            corner = Corner(place, directory, tag="whole")
            corner.bucket = OUR_BUCKET
            corner.env |= {
                "ENGINE_DESTINATION__BUCKET": OUR_BUCKET,
                "ENGINE_SALESFORCE__WHERE": "Type_Current__c = 'Document'",
                "ENGINE_EXECUTOR__LEASE_FILES": "50",
            }
            put = {"method": "PUT", "path": OUR_BUCKET}
            corner.misbehave_all(
                {**put, "kind": "slow_down", "rate": 0.03, "seed": 5, "times": None},
                {**put, "kind": "internal_error", "rate": 0.03, "seed": 6},
            )
            said = [corner.process("run", "backup", kind, "--json", *executor) for kind in ("--full", "--incremental")]
            assert {each.code for each in said} == {3}, said[0].everything
            return Left(
                {key: without_times(row) for key, row in corner.rows().items()},
                Counter(
                    tuple(sorted(without_times(row).items()))
                    for row in corner.query(
                        "SELECT * FROM migration_errors WHERE doclist_entry_id IN"
                        " (SELECT doclist_entry_id FROM file_migrations WHERE status != 'backed_up')"
                    )
                ),
                [
                    {key: held for key, held in row.items() if key.startswith("total") or key == "status"}
                    for row in corner.runs()
                ],
                {key: (held.size, held.etag) for key, held in wait(place.objects.dump(OUR_BUCKET)).items()},
                [each.json["records"] for each in said],
            )
        finally:
            runner.run(play.__aexit__(None, None, None))


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {key: held for key, held in row.items() if key not in TIMES}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_leave_what_this_one_does(tmp_path: Path) -> None:
    here = left_by(tmp_path / "here", RECORDS)
    there = left_by(tmp_path / "there", RECORDS, "--executor", "processes:2")

    assert len(here.rows) == RECORDS
    assert there.said == here.said
    assert there.runs == here.runs
    assert there.objects.keys() == here.objects.keys()
    differ = {
        key: {name: (here.rows[key][name], held) for name, held in row.items() if here.rows[key][name] != held}
        for key, row in there.rows.items()
        if here.rows[key] != row
    }
    assert differ == {}
    assert there.errors == here.errors
