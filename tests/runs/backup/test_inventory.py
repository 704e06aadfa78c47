"""When a full scan lists its source, what it makes of refusals, and where a resumed one goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.limiting.retry import Retries
from engine.model.errors import Blocked, Refused, Transient
from engine.model.failures import FailureClass
from engine.model.urls import identity_hash
from engine.pipeline.tally import Tally
from engine.runs.backup.inventory import Inventory
from engine.runs.shared.source_listing import FEW_RECORDS
from engine.s3.api.answers import Listed
from engine.s3.api.survey import Bounds, Put
from engine.settings import SourceSettings
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from tests.support.fakes.clock import ManualClock

WHEN = "2026-01-02T03:04:05.000Z"
DENIED = Refused(FailureClass.SOURCE_DENIED, "LIST s3://vendor: AccessDenied")


@dataclass
class Lister:
    """Lists ``objects`` numbered keys, a thousand at a time, unless there is an ``error`` to raise after so many."""

    objects: int = 0
    error: Exception | None = None
    error_at: int = 0
    asked: list[tuple[str, list[Bounds]]] = field(default_factory=list)

    async def survey(self, bucket: str, spans: Iterable[Bounds], put: Put, retries: Retries) -> bool:
        self.asked.append((bucket, list(spans)))
        start = int(self.asked[-1][1][0][0] or -1) + 1
        for first in range(start, self.objects, 1000):
            if self.error is not None and first >= self.error_at:
                raise self.error
            last = min(first + 1000, self.objects)
            rows = [Listed(f"{n:09d}", n, f"e{n}", "STANDARD", WHEN) for n in range(first, last)]
            if not await put(rows, [(f"{last - 1:09d}", None)] if last < self.objects else []):
                return False
        if self.error is not None:
            raise self.error
        return True


@dataclass
class Sides:
    given: list[Lister]

    @property
    def source_access(self) -> Sides:
        return self

    async def readers(self) -> list[Lister]:
        return self.given


@dataclass
class Stage:
    """The parts of a run that an inventory touches."""

    ledger: Ledger
    clock: ManualClock
    s3: Sides
    tally: Tally = field(default_factory=Tally)
    notes: list[str] = field(default_factory=list)

    @property
    def retries(self) -> Retries:
        return Retries(self.clock, 5)

    async def prepare(self, *listers: Lister, records: int | None = 5000, resumed: bool = False, **source: Any) -> None:
        self.s3.given = list(listers)
        tree = {"buckets": ["vendor"], "region": "us-west-2", **source}
        services: Any = self
        inventory = Inventory(services, SourceSettings.model_validate(tree), self.tally, self.notes.append)
        await inventory.prepare(records, resumed=resumed)

    async def states(self) -> dict[str, tuple[str, int]]:
        assert self.ledger.scan_id is not None
        found = await self.ledger.listings.of_scan(self.ledger.scan_id)
        return {name: (each.state, each.objects) for name, each in found.items()}

    async def knows(self, number: int) -> bool:
        return bool(await self.ledger.inventory([identity_hash(f"s3://vendor/{number:09d}")]))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = ManualClock()
    async with open_database(tmp_path / "t.db", clock) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        await ledger.begin_scan("full", "scope", restricted=False, watermark=WHEN)
        yield Stage(ledger, clock, Sides([]))


async def test_every_bucket_of_the_settings_is_listed_once(stage: Stage) -> None:
    lister = Lister(2500)
    await stage.prepare(lister, buckets=["vendor", "second"])

    assert [bucket for bucket, _ in lister.asked] == ["vendor", "second"]
    assert await stage.states() == {"vendor": ("completed", 2500), "second": ("completed", 2500)}
    assert await stage.knows(2499)
    assert not await stage.knows(2500)
    assert stage.notes[0].startswith("s3://vendor listed: 2,500 objects in ")
    assert stage.tally.phase == ""


@pytest.mark.parametrize(
    ("mode", "records", "listed"),
    [
        ("auto", FEW_RECORDS, True),
        ("auto", FEW_RECORDS - 1, False),
        ("auto", None, True),
        ("always", 1, True),
        ("never", 10**6, False),
    ],
)
async def test_a_listing_is_made_where_it_pays(stage: Stage, mode: str, records: int | None, listed: bool) -> None:
    await stage.prepare(Lister(10), records=records, inventory=mode)

    assert await stage.knows(3) is listed
    assert stage.ledger.listings.in_force is listed


async def test_nothing_is_listed_where_files_come_by_plain_http(stage: Stage) -> None:
    lister = Lister(10)
    await stage.prepare(lister, access="http")

    assert (lister.asked, await stage.states()) == ([], {})


@pytest.mark.parametrize("source", [{"access": "http"}, {"buckets": []}])
async def test_always_needs_something_to_list(stage: Stage, source: dict[str, Any]) -> None:
    with pytest.raises(Blocked, match=r"names? no bucket") as blocked:
        await stage.prepare(Lister(10), inventory="always", **source)
    assert "source.buckets" in blocked.value.hint


@pytest.mark.parametrize(
    "error", [DENIED, Transient(FailureClass.NETWORK, "connection reset"), Blocked("no such bucket")]
)
async def test_what_cannot_be_listed_is_asked_for_file_by_file(stage: Stage, error: Exception) -> None:
    await stage.prepare(Lister(error=error))

    assert await stage.states() == {"vendor": ("given_up", 0)}
    assert stage.notes == [f"s3://vendor not listed to its end ({error}): each file is checked by HEAD"]


async def test_the_sources_own_credentials_are_tried_where_ours_may_not_list(stage: Stage) -> None:
    await stage.prepare(Lister(error=DENIED), Lister(10))

    assert await stage.states() == {"vendor": ("completed", 10)}


async def test_the_next_credentials_go_on_where_the_first_were_cut_off(stage: Stage) -> None:
    second = Lister(5000)
    await stage.prepare(Lister(5000, error=DENIED, error_at=2000), second)

    assert second.asked == [("vendor", [("000001999", None)])]
    assert await stage.states() == {"vendor": ("completed", 5000)}


@pytest.mark.parametrize("listers", [[Lister(error=DENIED)], []])
async def test_always_stops_the_run_and_says_what_to_grant(stage: Stage, listers: list[Lister]) -> None:
    with pytest.raises(Blocked, match="s3://vendor cannot be listed") as blocked:
        await stage.prepare(*listers, inventory="always")
    assert "s3:ListBucket" in blocked.value.hint


async def test_a_bucket_far_larger_than_the_scope_is_given_up_and_what_it_told_is_used(stage: Stage) -> None:
    await stage.prepare(Lister(50_000), records=2000)

    assert await stage.states() == {"vendor": ("given_up", 40_000)}
    assert await stage.knows(39_999)
    assert "far more than records name" in stage.notes[0]


@pytest.mark.parametrize(("mode", "records"), [("always", 2000), ("auto", None)])
async def test_it_is_listed_to_its_end_where_that_was_asked_for_or_the_scope_is_unknown(
    stage: Stage, mode: str, records: int | None
) -> None:
    await stage.prepare(Lister(50_000), records=records, inventory=mode)

    assert await stage.states() == {"vendor": ("completed", 50_000)}


async def test_a_resumed_scan_goes_on_with_the_listing_that_was_cut_off(stage: Stage) -> None:
    with pytest.raises(ZeroDivisionError):
        await stage.prepare(Lister(3000, error=ZeroDivisionError("killed"), error_at=1000))
    lister = Lister(3000)
    await stage.prepare(lister, resumed=True)

    assert lister.asked == [("vendor", [("000000999", None)])]
    assert await stage.states() == {"vendor": ("completed", 3000)}
    assert await stage.knows(0)
    assert await stage.knows(2999)


async def test_a_resumed_scan_uses_its_completed_listing_without_asking_again(stage: Stage) -> None:
    await stage.prepare(Lister(100))
    stage.ledger.listings.lapse()
    again = Lister(100)
    await stage.prepare(again, resumed=True)

    assert again.asked == []
    assert await stage.knows(50)


async def test_a_resumed_scan_that_began_without_a_listing_goes_on_without(stage: Stage) -> None:
    lister = Lister(100)
    await stage.prepare(lister, resumed=True)

    assert (lister.asked, stage.ledger.listings.in_force) == ([], False)
