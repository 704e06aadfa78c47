"""Links put back by bulk jobs, against the stand-in over HTTP and with a real journal: whatever goes wrong, every link
ends as the original or as the user's, nothing was written that was not announced, and nothing stays in doubt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from engine.model.bulk import Progress, told
from engine.model.change import GENESIS, Event, Held, Open, Said, Standing, Step
from engine.model.errors import Paused
from engine.pacing.clock import SystemClock
from engine.pipeline import bulk_rules
from engine.pipeline.bulk import BulkUndo
from engine.pipeline.bulk_rules import pieces
from engine.pipeline.changing import Change, Changing, settle
from engine.pipeline.jobs import StillWorking, quiet
from engine.pipeline.stop import Stop
from engine.pipeline.switching import Counts
from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings
from engine.salesforce.connection import Salesforce
from engine.tracking.chain import Key
from engine.tracking.database import Database, open_database
from engine.tracking.journal import Journal, check
from engine.tracking.ledger import Ledger
from tests.salesforce.conftest import OBJECT, QuickClock, connected, fault

T = TypeVar("T")
KEY = Key(b"k" * 32)
THEIRS = "https://users.test/theirs.pdf"
AWKWARD = [
    'https://files.test/a,b,"c".pdf',
    "https://files.test/two\nlines.pdf",
    "https://files.test/ünï/文件 😀.pdf",
    "https://files.test/'single' \\ back;semi\ttab",
    '"',
    ",",
    "=1+1",
    "https://files.test/carriage\rreturn.pdf",
    "#N/A",
    "https://files.test/" + "x" * 230,
]


class Killed(BaseException):
    """Nobody catches it: the process is gone."""


class Mortal:
    """Salesforce's links and jobs, up to the call at which the process dies: before that call, or right after it."""

    def __init__(self, salesforce: Salesforce) -> None:
        self._links = salesforce.links
        self._jobs = salesforce.bulk
        self.calls: list[str] = []
        self.dies_at = 0
        self.after = False
        self.on_call: Callable[[str], None] = lambda _name: None

    async def _call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(name)
        number = len(self.calls)
        self.on_call(name)
        if number == self.dies_at and not self.after:
            raise Killed
        value = await work()
        if number == self.dies_at:
            raise Killed
        return value

    async def read(self, ids: Sequence[str]) -> dict[str, Held | None]:
        return await self._call("read", lambda: self._links.read(ids))

    async def write(self, changes: Sequence[tuple[str, str]]) -> list[Said]:
        return await self._call("write", lambda: self._links.write(changes))

    async def write_strictly(self, changes: Sequence[tuple[str, str, str]]) -> list[Said]:
        return await self._links.write_strictly(changes)

    def fits(self, link: str) -> bool:
        return self._jobs.fits(link)

    async def create(self) -> str:
        return await self._call("create", self._jobs.create)

    async def upload(self, job: str, changes: Sequence[tuple[str, str]]) -> None:
        await self._call("upload", lambda: self._jobs.upload(job, changes))

    async def close(self, job: str) -> None:
        await self._call("close", lambda: self._jobs.close(job))

    async def abort(self, job: str) -> None:
        await self._call("abort", lambda: self._jobs.abort(job))

    async def progress(self, job: str) -> Progress:
        return await self._call("progress", lambda: self._jobs.progress(job))

    async def results(self, job: str) -> dict[str, Said]:
        return await self._call("results", lambda: self._jobs.results(job))


class Scene:
    """Records that hold our links, a journal, and what it takes to put the originals back."""

    def __init__(self, org: Server, salesforce: Salesforce, database: Database, journal: Journal, count: int) -> None:
        self.org = org
        self.salesforce = salesforce
        self.database = database
        self.journal = journal
        self.stop = Stop()
        self.clock = QuickClock()
        self.world = Mortal(salesforce)
        self.notes: list[str] = []
        self.counts = Counts()
        rows = [{"Name": f"D{n}", "Document__c": f"https://ours.test/{n}.pdf"} for n in range(count)]
        ids = org.world.load(OBJECT, rows)
        self.changes = [
            Change(record, "", f"https://files.test/{n}.pdf", f"https://ours.test/{n}.pdf", 1)
            for n, record in enumerate(ids)
        ]

    @property
    def ids(self) -> list[str]:
        return [change.id for change in self.changes]

    def edit(self, *records: str, link: str = THEIRS) -> None:
        self.org.world.edit(list(records), {"Document__c": link})

    def rename(self, originals: Sequence[str]) -> None:
        self.changes = [c._replace(old=old) for c, old in zip(self.changes, originals, strict=True)]

    async def rollback(self, *, rows: int = 40, attempts: int = 3) -> Counts:
        """One run: those that hold our link, in windows of 50."""

        async def windows() -> AsyncIterator[Sequence[Change]]:
            for start in range(0, len(self.changes), 50):
                window = self.changes[start : start + 50]
                found = [change for change in window if self.link(change.id) == change.new]
                if found:
                    yield found

        jobs = BulkUndo(
            self.world, self.world, self.journal, self.clock, self.stop, note=self.notes.append, rows=rows
        )  # fmt: skip
        changing = Changing(self.world, self.journal, self.clock, self.stop, undo=True, attempts=attempts)
        try:
            await changing.run(jobs.rest(windows()))
        finally:
            await self.journal.flush()
            self.counts = Counts()
            self.counts.add(jobs.counts)
            self.counts.add(changing.counts)
        return self.counts

    async def next_start(self, *, abort: bool = True) -> list[Open]:
        """What a run does before anything else."""
        self.world = Mortal(self.salesforce)
        checked = await check(self.database, KEY, [self.journal.head])
        names = sorted({each.job for each in checked.open if each.job})

        async def nothing(_step: Step) -> None:
            return

        await quiet(self.world, names, self.clock, abort=abort, longest_s=60, say=self.notes.append)
        opened = [(Change(each.id, "", each.old, each.new, each.wave), each.undo) for each in checked.open]
        await settle(self.world, self.journal, opened, nothing)
        return checked.open

    def link(self, record: str) -> str | None:
        row = self.org.world.record(record)
        assert row is not None
        link: str | None = row["Document__c"]
        return link

    def links(self) -> dict[str, str | None]:
        return {record: self.link(record) for record in self.ids}

    def originals(self, **others: str) -> dict[str, str | None]:
        return {change.id: change.old for change in self.changes} | others

    def asked(self, name: str) -> int:
        return sum(1 for entry in self.org.org.log if entry.name == name)

    def closed(self) -> int:
        return sum(1 for job in self.org.org.jobs.of_kind("ingest") if job.closed is not None)

    async def steps(self, record: str) -> list[str]:
        rows = await self.database.fetch(
            "SELECT event FROM url_changes WHERE doclist_entry_id = ? ORDER BY id", (record,)
        )
        return [event for (event,) in rows]

    async def last(self, record: str) -> tuple[str, str]:
        rows = await self.database.fetch(
            "SELECT event, detail FROM url_changes WHERE doclist_entry_id = ? ORDER BY id DESC LIMIT 1", (record,)
        )
        event, detail = rows[0]
        return event, detail

    async def whole(self) -> None:
        """No doubt is left, and nothing was written before it was announced with its job."""
        checked = await check(self.database, KEY, [self.journal.head])
        assert checked.open == []
        intents = await self.database.fetch(
            "SELECT doclist_entry_id, at, detail FROM url_changes WHERE event = 'undo_intended'", ()
        )
        for job in self.org.org.jobs.of_kind("ingest"):
            if job.closed is None:
                continue
            announced = {record for record, at, detail in intents if detail == told(job.id) and at < job.closed[1]}
            tried = [row for rows in job.results.values() for row in rows] + job.waiting
            assert {row[-2] for row in tried} <= announced

    def settle_jobs(self) -> None:
        """Nobody may be surprised by a job that goes on."""
        for job in self.org.org.jobs.of_kind("ingest"):
            assert job.state in {"JobComplete", "Aborted", "Failed"} or job.closed is None, job.state


SceneOf = Callable[..., Awaitable[Scene]]


@pytest.fixture
async def org() -> AsyncIterator[Server]:
    async with SalesforceStandIn(StandInSettings()).serve() as server:
        yield server


@pytest.fixture
async def scene_of(org: Server, tmp_path: Path) -> AsyncIterator[SceneOf]:
    async with open_database(tmp_path / "t.db", SystemClock()) as database, connected(org, QuickClock()) as salesforce:

        async def build(count: int = 120) -> Scene:
            run = await Ledger(database).begin_run("rollback", {})
            journal = Journal(database, KEY, run)
            journal.head = GENESIS
            return Scene(org, salesforce, database, journal, count)

        yield build


async def test_jobs_put_back_every_link_byte_for_byte_and_nothing_else(scene_of: SceneOf) -> None:
    scene = await scene_of()
    before = {record: scene.org.world.record(record) for record in scene.ids}
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert (counts.done, counts.total) == (120, 120)
    assert (scene.closed(), scene.asked("collections_update")) == (3, 0)
    audit = {"LastModifiedDate", "SystemModstamp", "LastModifiedById", "Document__c"}
    for record in scene.ids:
        now, was = scene.org.world.record(record), before[record]
        assert now is not None
        assert was is not None
        assert {name for name in now if now[name] != was[name]} <= audit
    assert await scene.steps(scene.ids[0]) == ["undo_intended", "undone"]
    await scene.whole()
    sent = len(scene.org.org.log)
    assert (await scene.rollback()).total == 0
    assert len(scene.org.org.log) == sent, "a second one asks nothing and writes nothing"


async def test_awkward_links_survive(scene_of: SceneOf) -> None:
    scene = await scene_of(len(AWKWARD))
    scene.rename(AWKWARD)
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == len(AWKWARD)
    assert scene.closed() == 1
    by_collections = [entry for entry in scene.org.org.log if entry.name == "collections_update"]
    assert sum(len(entry.ids_written.split()) for entry in by_collections) == 2, "what CSV cannot hold goes another way"
    await scene.whole()


@pytest.mark.parametrize("deleted", [False, True])
async def test_an_edit_between_upload_and_close_is_kept(scene_of: SceneOf, deleted: bool) -> None:
    scene = await scene_of(40)
    mine = scene.ids[7]
    params = {"ids": [mine], "set": {"Document__c": THEIRS}}
    kind = "delete" if deleted else "edit"
    fault(scene.org, {"kind": kind, "endpoint": "collections_retrieve", "nth": 1, "params": params})
    counts = await scene.rollback()
    assert scene.link(mine) == ("https://ours.test/7.pdf" if deleted else THEIRS)
    others = [record for record in scene.ids if record != mine]
    assert {record: scene.link(record) for record in others} == {r: scene.originals()[r] for r in others}
    assert (counts.done, counts.edited, counts.gone) == (39, 0 if deleted else 1, 1 if deleted else 0)
    assert [job.state for job in scene.org.org.jobs.of_kind("ingest")] == ["Aborted", "JobComplete"]
    assert (await scene.steps(mine)) == ["undo_intended", "kept"]
    assert await scene.steps(scene.ids[0]) == ["undo_intended", "refused", "undo_intended", "undone"]
    await scene.whole()


async def test_users_who_never_rest_get_collections(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    busy = iter(scene.ids)

    def somebody_edits(name: str) -> None:
        if name == "upload":
            scene.edit(next(busy))

    scene.world.on_call = somebody_edits
    counts = await scene.rollback()
    assert (counts.done, counts.edited) == (36, 4)
    assert scene.closed() == 0
    assert scene.asked("collections_update") > 0
    await scene.whole()


async def test_failed_rows_go_by_their_class(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    scene.org.org.read_only_ids = {scene.ids[3]}
    fault(scene.org, {"kind": "lock_row", "endpoint": "ingest_rows", "rate": 0.3, "seed": 3})
    counts = await scene.rollback()
    assert scene.links() == scene.originals() | {scene.ids[3]: "https://ours.test/3.pdf"}
    assert (counts.done, counts.failed) == (39, 1)
    locked = [r for r in scene.ids if await scene.steps(r) == ["undo_intended", "refused", "undo_intended", "undone"]]
    assert len(locked) > 3
    event, detail = await scene.last(scene.ids[3])
    assert (event, detail.startswith("ours: INSUFFICIENT_ACCESS_OR_READONLY")) == ("refused", True)
    rows = await scene.database.fetch("SELECT doclist_entry_id, failure_class FROM migration_errors", ())
    assert rows == [(scene.ids[3], "rejected")]
    await scene.whole()


async def test_a_field_that_may_not_be_edited_any_more_stops(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    params = {"object": OBJECT, "field": "Document__c", "mode": "read_only"}
    fault(scene.org, {"kind": "fls_removed", "endpoint": "ingest_info", "params": params})
    with pytest.raises(Paused, match="lets nobody through"):
        await scene.rollback()
    assert {scene.link(record) for record in scene.ids} == {change.new for change in scene.changes}
    await scene.whole()


@pytest.mark.parametrize("rows", [0, 15])
async def test_a_job_that_fails_is_read_and_the_rest_goes_through_collections(scene_of: SceneOf, rows: int) -> None:
    scene = await scene_of()
    fault(scene.org, {"kind": "bulk_failed", "count": 1, "params": {"rows": rows, "message": "InternalServerError"}})
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 120
    assert scene.closed() == 1, "after a job that failed no other one is made"
    assert "ended as Failed (InternalServerError)" in scene.notes[0]
    await scene.whole()


async def test_a_job_that_an_administrator_aborts_half_way(scene_of: SceneOf, org: Server) -> None:
    org.org.settings.bulk_rows_per_poll = 200
    scene = await scene_of(600)
    fault(scene.org, {"kind": "bulk_aborted", "endpoint": "ingest_info", "nth": 4})
    counts = await scene.rollback(rows=600)
    assert scene.links() == scene.originals()
    assert counts.done == 600
    assert "ended as Aborted after 400 rows" in scene.notes[0]
    await scene.whole()


async def test_a_job_that_is_aborted_before_it_is_closed(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "bulk_aborted", "endpoint": "ingest_change", "nth": 1})
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 40
    assert scene.closed() == 0
    await scene.whole()


async def test_a_job_that_is_deleted_under_way(scene_of: SceneOf) -> None:
    scene = await scene_of(40)

    def delete(name: str) -> None:
        if name == "progress":
            scene.org.org.jobs.of_kind("ingest")[-1:] and setattr(
                scene.org.org.jobs.of_kind("ingest")[-1], "state", "Deleted"
            )

    scene.world.on_call = delete
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 40
    await scene.whole()


async def test_rows_that_no_list_names_are_read(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "bulk_unrecorded", "params": {"every": 3}})
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 40
    assert {(await scene.steps(record))[-1] for record in scene.ids} == {"undone", "settled"}
    await scene.whole()


@pytest.mark.parametrize("kind", ["html_200", "truncated_json", "cut_mid_body"])
async def test_results_that_cannot_be_had_are_made_up_for_by_reading(scene_of: SceneOf, kind: str) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": kind, "endpoint": "ingest_results"})
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 40
    await scene.whole()


LOST = ["commit_then_cut", "commit_then_503", "reset", "503_html", "truncated_json", "session_expired", "429"]


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("endpoint", ["ingest_create", "ingest_upload", "ingest_change", "ingest_info"])
async def test_a_lost_answer_costs_nothing(scene_of: SceneOf, kind: str, endpoint: str) -> None:
    scene = await scene_of()
    await scene.salesforce.links.read(scene.ids[:1])
    fault(scene.org, {"kind": kind, "endpoint": endpoint, "nth": [1, 3]})
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 120
    assert scene.closed() >= 3
    assert scene.asked("collections_update") == 0, scene.notes
    await scene.whole()
    scene.settle_jobs()


async def test_an_edit_beside_a_close_that_was_not_heeded_is_kept(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "reset", "endpoint": "ingest_change", "nth": 1})

    def edit(name: str) -> None:
        if name == "progress":
            scene.world.on_call = lambda _name: None
            scene.edit(scene.ids[5])

    scene.world.on_call = edit
    counts = await scene.rollback()
    assert scene.links() == scene.originals() | {scene.ids[5]: THEIRS}
    assert (counts.done, counts.edited) == (39, 1)
    await scene.whole()


async def test_an_edit_while_the_job_was_at_work_is_told(scene_of: SceneOf) -> None:
    scene = await scene_of(40)

    def edit(name: str) -> None:
        if name == "results":
            scene.edit(scene.ids[5])

    scene.world.on_call = edit
    counts = await scene.rollback()
    assert scene.links() == scene.originals() | {scene.ids[5]: THEIRS}
    assert (counts.done, counts.edited) == (39, 1)
    event, detail = await scene.last(scene.ids[5])
    assert (event, "right after" in detail) == ("kept", True)


REFUSALS: list[dict[str, Any]] = [
    {"status": 400, "code": "EXCEEDEDQUOTA", "message": "ApiBatchItems Limit exceeded."},
    {"status": 403, "code": "FUNCTIONALITY_NOT_ENABLED", "message": "Bulk API is not enabled."},
    {"status": 404, "code": "NOT_FOUND", "message": "The requested resource does not exist"},
    {"status": 400, "code": "INVALIDJOB", "message": "no"},
    {"status": 503, "code": "SERVER_UNAVAILABLE", "message": "later"},
]


@pytest.mark.parametrize("params", REFUSALS, ids=lambda each: str(each["code"]))
@pytest.mark.parametrize("endpoint", ["ingest_create", "ingest_upload"])
async def test_where_the_org_refuses_bulk_collections_do_it(
    scene_of: SceneOf, params: dict[str, Any], endpoint: str
) -> None:
    scene = await scene_of()
    fault(scene.org, {"kind": "refused", "endpoint": endpoint, "params": params})
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 120
    assert scene.closed() == 0
    [note] = scene.notes
    assert "takes no bulk job" in note
    assert params["message"] in note
    assert "the rest goes through collections" in note
    await scene.whole()


@pytest.mark.parametrize("endpoint", ["ingest_create", "ingest_upload", "collections_retrieve", "ingest_change"])
async def test_the_daily_limit_stops_before_the_job_with_nothing_in_doubt(scene_of: SceneOf, endpoint: str) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "daily_limit", "endpoint": endpoint})
    with pytest.raises(Paused, match="TotalRequests"):
        await scene.rollback()
    assert {scene.link(record) for record in scene.ids} == {change.new for change in scene.changes}
    await scene.whole()


async def test_the_daily_limit_under_way_leaves_doubt_that_the_next_start_settles(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "daily_limit", "endpoint": "ingest_info", "after": 1})
    with pytest.raises(Paused, match="TotalRequests"):
        await scene.rollback()
    fault(scene.org)
    async with connected(scene.org, QuickClock()) as scene.salesforce:
        assert len(await scene.next_start()) == 40
        await scene.whole()
        await scene.rollback()
    assert scene.links() == scene.originals()


async def test_a_silence_under_way_leaves_doubt_that_the_next_start_settles(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "503_html", "endpoint": "ingest_info", "after": 1})
    with pytest.raises(Paused, match="does not answer any more"):
        await scene.rollback()
    fault(scene.org)
    assert len(await scene.next_start()) == 40
    await scene.whole()


async def test_throttling_and_hiccups_while_polling_are_sat_out(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    kinds = ["429", "503_json", "502_html", "500_unknown", "session_expired", "concurrent_limit", "cut_mid_body"]
    fault(
        scene.org,
        {"kind": "bulk_stuck", "count": 6},
        *({"kind": kind, "endpoint": "ingest_info", "nth": place} for place, kind in enumerate(kinds, start=1)),
    )
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 40
    assert scene.asked("ingest_info") > 10
    await scene.whole()


async def test_a_job_that_does_not_begin_is_aborted_and_collections_do_it(scene_of: SceneOf) -> None:
    scene = await scene_of()
    fault(scene.org, {"kind": "bulk_stuck"})
    counts = await scene.rollback()
    assert scene.links() == scene.originals()
    assert counts.done == 120
    assert scene.world.calls.count("abort") == 1
    assert scene.closed() == 1
    assert "ended as Aborted" in scene.notes[0]
    await scene.whole()


@pytest.mark.parametrize("at", ["create", "upload", "read", "close", "progress", "results"])
async def test_a_stop_leaves_no_doubt_and_no_job(scene_of: SceneOf, org: Server, at: str) -> None:
    org.org.settings.bulk_polls_until_done = 50
    scene = await scene_of()

    def halt(name: str) -> None:
        if name == at:
            scene.stop.request("SIGTERM", 143)

    scene.world.on_call = halt
    if at == "results":
        org.org.settings.bulk_polls_until_done = 2
    await scene.rollback()
    await scene.whole()
    scene.settle_jobs()
    assert scene.closed() <= 1
    moved = sum(scene.link(change.id) == change.old for change in scene.changes)
    assert moved == (40 if at == "results" else 0)
    scene.stop, scene.world = Stop(), Mortal(scene.salesforce)
    org.org.settings.bulk_polls_until_done = 2
    await scene.rollback()
    assert scene.links() == scene.originals()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 11))
async def test_a_kill_at_any_call_is_settled_by_the_next_start(
    scene_of: SceneOf, org: Server, call: int, after: bool
) -> None:
    """With jobs that go on whether or not anybody asks, as Salesforce's do."""
    org.org.settings.bulk_polls_until_done = 2
    scene = await scene_of(80)
    scene.edit(scene.ids[0])
    scene.org.org.read_only_ids = {scene.ids[1]}
    scene.world.dies_at, scene.world.after = call, after
    with pytest.raises(Killed):
        await scene.rollback()
    at_work = any(
        job.closed and job.state in {"UploadComplete", "InProgress"} for job in org.org.jobs.of_kind("ingest")
    )
    if not at_work:  # else it would fall into the gap between the look at a record and its turn
        scene.edit(scene.ids[2])
    await scene.next_start()
    await scene.whole()
    scene.settle_jobs()
    known = scene.links()
    for job in org.org.jobs.of_kind("ingest"):
        for _ in range(4):  # whatever may still move does so now
            await scene.salesforce.bulk.progress(job.id)
    assert scene.links() == known
    for change in scene.changes[3:]:
        if (await scene.steps(change.id))[-1:] == ["settled"]:
            where = Standing.ORIGINAL if known[change.id] == change.old else Standing.OURS
            assert (await scene.last(change.id))[1].startswith(where.value)
    await scene.rollback()
    kept = {scene.ids[0]: THEIRS, scene.ids[1]: scene.changes[1].new}
    if not at_work:
        kept[scene.ids[2]] = THEIRS
    assert scene.links() == scene.originals() | kept
    await scene.whole()
    sent = scene.asked("collections_update") + scene.closed()
    scene.org.org.read_only_ids = set()
    scene.edit(scene.ids[1])
    await scene.rollback()
    assert scene.asked("collections_update") + scene.closed() == sent, "a second rollback writes nothing"


async def test_a_job_at_work_is_not_read_over_before_it_ends(scene_of: SceneOf, org: Server) -> None:
    org.org.settings.bulk_polls_until_done = 6
    scene = await scene_of(40)
    scene.world.dies_at = 6  # create, upload, read, close, progress
    with pytest.raises(Killed):
        await scene.rollback()
    assert {scene.link(record) for record in scene.ids} == {change.new for change in scene.changes}
    await scene.next_start(abort=False)
    assert "abort" not in scene.world.calls, "a run that writes nothing to Salesforce waits instead"
    assert scene.links() == scene.originals()
    assert {(await scene.last(record))[1].partition(":")[0] for record in scene.ids} == {"original"}
    await scene.whole()


@pytest.mark.parametrize("closed", [False, True])
async def test_a_job_that_does_not_end_leaves_its_links_open_where_it_may_not_be_aborted(
    scene_of: SceneOf, closed: bool
) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "bulk_stuck"})
    scene.world.dies_at = 5 if closed else 4  # behind or before the close
    with pytest.raises(Killed):
        await scene.rollback()
    with pytest.raises(StillWorking):
        await scene.next_start(abort=False)
    assert await scene.steps(scene.ids[0]) == ["undo_intended"], "nothing is written down that nobody knows"
    await scene.next_start(abort=True)
    assert await scene.steps(scene.ids[0]) == ["undo_intended", "settled"]
    fault(scene.org)
    await scene.rollback()
    assert scene.links() == scene.originals()


async def test_an_abort_that_went_astray_is_sent_again(scene_of: SceneOf) -> None:
    scene = await scene_of(40)
    fault(scene.org, {"kind": "bulk_stuck"}, {"kind": "reset", "endpoint": "ingest_change", "nth": [2, 3]})
    await scene.rollback()
    assert scene.world.calls.count("abort") == 3
    assert scene.links() == scene.originals()
    await scene.whole()
    scene.settle_jobs()


def test_a_job_holds_so_many_rows_and_characters() -> None:
    def sizes(*lengths: int) -> list[int]:
        changes = [Change(f"r{n}", "", "x" * length, "", 1) for n, length in enumerate(lengths)]
        assert [each for piece in pieces(changes, 3) for each in piece] == changes
        return [len(piece) for piece in pieces(changes, 3)]

    half = bulk_rules.CHARACTERS // 2
    assert sizes() == []
    assert sizes(*[10] * 7) == [3, 3, 1]
    assert sizes(half, half, 1, 1) == [2, 2]
    assert sizes(2 * half + 9, 1) == [1, 1]


def test_the_event_of_a_job_is_in_its_row() -> None:
    step = Step("r", "old", "new", Event.UNDO_INTENDED, message=told("750A"), undo=True)
    assert step.detail == "bulk job 750A"
