"""The rollback file: usable after a kill at any moment, and never after a single byte was touched."""

from __future__ import annotations

import asyncio
import gc
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.limiting.clock import SystemClock
from engine.model.change import Event, LinkState, Step
from engine.model.command import in_words
from engine.model.errors import Differs, Fatal
from engine.runs.links.rollback_file import JournalWithFile, RollbackFile
from engine.runs.links.rollback_lines import RollbackLines
from engine.tracking.db.chain import Key
from engine.tracking.db.database import Database, open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read import restorable
from engine.tracking.read.switchable import Undo, Undoable
from engine.tracking.write.journal import Journal

KEY = Key(b"a secret of some length")
HEADER = 2
"""Lines before the first link: the header, and the mark."""


class Read:
    """A file as it was read."""

    def __init__(self, path: Path, key: Key = KEY) -> None:
        lines = RollbackLines(path, key)
        self.changes = list(lines)
        self.header, self.complete, self.ended = lines.header, lines.complete, lines.ended
        self.unproved = lines.unproved


def steps(first: int, count: int) -> list[Step]:
    return [Step(f"r{n}", f"old{n}", f"new{n}", Event.INTENDED, 1) for n in range(first, first + count)]


async def killed(path: Path, *batches: int) -> RollbackFile:
    """A file whose run was killed behind so many announcements."""
    file = RollbackFile(path, KEY, {"run": 12})
    for count in batches:
        await file.add(steps(file.records, count))
    return file


async def test_a_file_is_usable_at_every_moment_of_its_run(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    file = await killed(path)
    for links in (0, 3, 5):
        read = Read(path)
        assert (len(read.changes), read.complete, read.ended) == (links, True, False)
        await file.add(steps(links, 3 if not links else 2))
    file.end("2026-11-22T10:00:00Z")
    read = Read(path)
    assert (len(read.changes), read.complete, read.ended) == (7, True, True)
    assert read.changes[6] == ("r6", "old6", "new6", 1)


async def test_a_file_knows_every_value_of_ours_of_a_record_the_latest_first(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    file = await killed(path)
    made = Step("r0", "old0", "new0?flow", Event.REWRITTEN, 1)
    await file.add([*steps(0, 2), made, made._replace(new="new0?flow", wave=2)])
    async with open_database(tmp_path / "t.db", SystemClock()) as database:
        assert [each.values for each in await laid_out(path, database)] == [
            [("old0", "new0?flow", 2), ("old0", "new0", 1)],
            [("old1", "new1", 1)],
        ]
        assert await restorable.choose(database, Undo(wave=2)) == 1
        assert [each.values for each in await restorable.changes(database, 0, Undo(wave=2))] == [
            [("old0", "new0?flow", 2)]
        ]


async def test_lanes_that_add_at_once_each_find_their_links_in_it(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    file = await killed(path)
    await asyncio.gather(*(file.add(steps(first, 50)) for first in range(0, 400, 50)))
    cut = asyncio.ensure_future(file.add(steps(400, 50)))
    await asyncio.wait([cut], timeout=0)
    cut.cancel()
    await file.flush()
    file.end("2026-11-22T10:00:00Z")
    read = Read(path)
    assert read.ended
    assert [each.id for each in read.changes] == [f"r{n}" for n in range(450)]


async def test_a_file_that_was_cut_is_told_from_one_whose_run_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    await killed(path, 3, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == HEADER + 5
    for kept in range(HEADER, len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        assert not Read(path).complete
    path.write_bytes(b"".join(lines)[:-1])
    assert not Read(path).complete


async def test_a_mark_that_lags_behind_its_lines_is_fine(tmp_path: Path) -> None:
    """A kill between the lines and the mark, or within the lines; those that were torn were never sent."""
    path = tmp_path / "f.ndjson"
    file = await killed(path, 3)
    before = path.read_bytes().splitlines(keepends=True)
    await file.add(steps(3, 2))
    after = path.read_bytes().splitlines(keepends=True)
    whole = [before[0], before[1], *after[2:]]
    for text, links in ((b"".join(whole), 5), (b"".join(whole)[:-30], 4)):
        path.write_bytes(text)
        read = Read(path)
        assert (len(read.changes), read.complete) == (links, True)


def flip(lines: list[bytes]) -> None:
    lines[3] = lines[3].replace(b"old1", b"old9")


def drop(lines: list[bytes]) -> None:
    del lines[3]


def swap(lines: list[bytes]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def double(lines: list[bytes]) -> None:
    lines.insert(3, lines[2])


def lower_the_mark(lines: list[bytes]) -> None:
    lines[1] = lines[1].replace(b"000000000005", b"000000000002")
    del lines[4:]


def lose_the_mark(lines: list[bytes]) -> None:
    del lines[1]


def mark_as_a_link(lines: list[bytes]) -> None:
    lines.insert(2, lines[1])


def nothing(lines: list[bytes]) -> None:
    lines.clear()


def others(lines: list[bytes]) -> None:
    lines[0] = lines[0].replace(b'"run":12', b'"run":13')


@pytest.mark.parametrize(
    "tamper",
    [flip, drop, swap, double, lower_the_mark, lose_the_mark, mark_as_a_link, nothing, others],
)
@pytest.mark.parametrize("ended", [True, False])
async def test_a_file_that_was_touched_is_refused(
    tmp_path: Path, tamper: Callable[[list[bytes]], None], ended: bool
) -> None:
    path = tmp_path / "f.ndjson"
    file = await killed(path, 3, 2)
    if ended:
        file.end("2026-11-22T10:00:00Z")
    lines = path.read_bytes().splitlines(keepends=True)
    tamper(lines)
    path.write_bytes(b"".join(lines))
    with pytest.raises(Differs, match="is refused at line") as refused:
        Read(path)
    assert "nothing was written to Salesforce" in in_words(refused.value.hint)


SECTOR = 512
"""Bytes that a disk writes as a whole."""


async def test_of_a_first_write_that_was_torn_no_link_is_left(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    await killed(path)
    text = path.read_bytes()
    path.write_bytes(text.partition(b"\n")[0] + b"\n")
    read = Read(path)
    assert (read.changes, read.complete, read.ended, bool(read.header)) == ([], False, False, True)
    path.write_bytes(text[:100])
    with pytest.raises(Differs, match="nothing but its torn first line is left"):
        Read(path)


@pytest.mark.parametrize("upto", [40, SECTOR - 1, SECTOR, 2 * SECTOR])
@pytest.mark.parametrize("ended", [True, False])
async def test_a_first_line_that_is_torn_never_refuses_the_rest(tmp_path: Path, ended: bool, upto: int) -> None:
    path = tmp_path / "f.ndjson"
    file = await killed(path, 3, 2)
    if ended:
        file.end("2026-11-22T10:00:00Z")
    text = path.read_bytes()
    path.write_bytes(bytes(upto) + text[upto:])
    read = Read(path)
    assert read.header == {}
    if upto <= SECTOR:  # the mark has a sector of its own, and says where the HMACs begin
        assert ([each.id for each in read.changes], read.unproved) == ([f"r{n}" for n in range(5)], 0)
        assert (read.complete, read.ended) == (True, ended)
    else:
        assert ([each.id for each in read.changes], read.unproved) == (["r4"], 1)
        assert (read.complete, read.ended) == (ended, ended)
    with pytest.raises(Differs, match="another key"):
        Read(path, Key(b"another secret of length"))
    last = path.read_bytes().replace(b"old4", b"old9")
    path.write_bytes(last)
    with pytest.raises(Differs, match="is refused at line"):
        Read(path)


async def test_a_mark_that_is_torn_refuses_nothing_but_cannot_tell_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    await killed(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    assert sum(map(len, lines[:1])) % SECTOR == 0, "a mark within two sectors would be torn by half"
    assert len(lines[1]) <= SECTOR
    lines[1] = lines[1][:50] + b"\n"
    path.write_bytes(b"".join(lines))
    read = Read(path)
    assert (len(read.changes), read.complete, bool(read.header)) == (3, False, True)


async def test_the_mark_of_another_file_with_the_same_key_does_not_fit(tmp_path: Path) -> None:
    await killed(tmp_path / "a.ndjson", 5)
    other = RollbackFile(tmp_path / "b.ndjson", KEY, {"run": 13})
    await other.add(steps(0, 2))
    lines = (tmp_path / "a.ndjson").read_bytes().splitlines(keepends=True)
    lines[1] = (tmp_path / "b.ndjson").read_bytes().splitlines(keepends=True)[1]
    (tmp_path / "a.ndjson").write_bytes(b"".join(lines[:4]))
    with pytest.raises(Differs, match="line 2"):
        Read(tmp_path / "a.ndjson")


async def test_nothing_goes_behind_the_end(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    (await killed(path, 2)).end("2026-11-22T10:00:00Z")
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(Differs):
        Read(path)


async def test_what_a_full_disk_left_of_a_write_does_not_spoil_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    file = await killed(path, 3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
    try:
        with pytest.raises(Fatal):
            await file.add(steps(3, 200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    read = Read(path)
    assert (len(read.changes), read.complete) == (3, True)
    await file.add(steps(3, 1))
    file.end("2026-11-22T10:00:00Z")
    read = Read(path)
    assert (len(read.changes), read.ended) == (4, True)


def as_records(steps: list[Step]) -> list[Step]:
    return [step._replace(id=f"{step.id:0>18}") for step in steps]


def ended(steps: list[Step]) -> list[Step]:
    return [step._replace(event=Event.KEPT, link_state=LinkState.GONE) for step in steps]


EVENTS = "SELECT event, count(*) FROM url_changes GROUP BY event ORDER BY event"


async def test_outcomes_are_in_the_journal_though_nothing_more_can_be_announced(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    file = await killed(path, 20_000)
    async with open_database(tmp_path / "t.db", SystemClock()) as database:
        both = JournalWithFile(Journal(database, KEY, await Ledger(database).begin_run("switch", {})), file)
        first, later = as_records(steps(0, 2)), as_records(steps(2, 200))
        await both.append(first)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
        try:
            with pytest.raises(Fatal):
                await both.append(ended(first) + later)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert await database.fetch(EVENTS) == [("intended", 2), ("kept", 2)]


async def test_outcomes_are_in_the_journal_though_their_lane_was_cut_short(tmp_path: Path) -> None:
    file = await killed(tmp_path / "f.ndjson")
    async with open_database(tmp_path / "t.db", SystemClock()) as database:
        both = JournalWithFile(Journal(database, KEY, await Ledger(database).begin_run("switch", {})), file)
        first, later = as_records(steps(0, 2)), as_records(steps(2, 200))
        await both.append(first)
        cut = asyncio.ensure_future(both.append(ended(first) + later))
        await asyncio.wait([cut], timeout=0)
        cut.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut
        await both.flush()
        assert await database.fetch(EVENTS) == [("intended", 2), ("kept", 2)]
    file.end("2026-11-22T10:00:00Z")
    assert Read(tmp_path / "f.ndjson").ended


async def laid_out(path: Path, database: Database) -> list[Undoable]:
    await restorable.lay_out(database, RollbackLines(path, KEY))
    count = await restorable.choose(database, Undo())
    return [each for start in restorable.starts(count) for each in await restorable.changes(database, start, Undo())]


async def test_of_each_record_its_latest_line_counts_and_each_record_once(tmp_path: Path) -> None:
    file = await killed(tmp_path / "f.ndjson", 9_000)
    await file.add([step._replace(old="older", wave=2) for step in steps(10, 2)])
    async with open_database(tmp_path / "t.db", SystemClock()) as database:
        found = {each.id: each for each in await laid_out(tmp_path / "f.ndjson", database)}
        assert len(found) == 9_000
        assert [found[f"r{n}"].values for n in (9, 10)] == [[("old9", "new9", 1)], [("older", "new10", 2)]]
        assert await restorable.waves(database) == [1, 2]
        assert await restorable.choose(database, Undo(ids=["r3", "r10", "nobody"])) == 2
        assert not await restorable.knows_accounts(database)


async def test_a_file_is_read_in_memory_that_does_not_grow_with_it(tmp_path: Path) -> None:
    peaks = []
    async with open_database(tmp_path / "t.db", SystemClock()) as database:
        for number, links in enumerate((10_000, 40_000)):
            path = tmp_path / f"{number}.ndjson"
            await killed(path, *([5_000] * (links // 5_000)))
            gc.collect()
            tracemalloc.start()
            try:
                await restorable.lay_out(database, RollbackLines(path, KEY))
                count = await restorable.choose(database, Undo())
                assert count == links
                for start in restorable.starts(count):
                    await restorable.changes(database, start, Undo())
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    small, large = peaks
    assert large - small < 30_000 * 20, peaks
