"""Bugs that only tests plant: each must be found within so many seeds, or the simulator is not worth its time.

A bug is a small patch of the engine's insides; nothing else in the tests may do so.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from engine.model.change import LinkState
from tests.simulation import bugs_of_copies as copies
from tests.simulation import bugs_of_disks as disks
from tests.simulation import bugs_of_links as links
from tests.simulation import disk
from tests.simulation.drawing import draw
from tests.simulation.player import play
from tests.simulation.world import Hostile

Make = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """``make`` turns the right thing into the wrong one."""

    name: str
    where: str
    """Module and name, or module, class and method, below ``engine``."""
    make: Make
    seed: int = 0
    """The one that is played first: it has found the bug before."""

    @contextmanager
    def planted(self) -> Iterator[None]:
        owner, attribute = self.place()
        right = vars(owner)[attribute]
        setattr(owner, attribute, self.make(right))
        try:
            yield
        finally:
            setattr(owner, attribute, right)

    def place(self) -> tuple[Any, str]:
        """Where it grows. Found late, so that code that has moved fails its own bug alone. Raises LookupError."""
        path, _, attribute = f"engine.{self.where}".rpartition(".")
        module, _, name = path.rpartition(".")
        try:
            owner = getattr(import_module(module), name) if name[:1].isupper() else import_module(path)
            vars(owner)[attribute]
        except (ImportError, AttributeError, KeyError) as error:
            raise LookupError(f"there is no {self.where}") from error
        return owner, attribute


def bugs() -> list[Bug]:
    return [
        Bug("uploads that a killed run left open stay so", "s3.open.S3.sweep", copies.no_sweep, 69),
        Bug("a chain tip is not synced", "tracking.db.chain.write_private", disks.unsynced_file),
        Bug("the lines of the rollback file are not synced", "runs.links.switch.begun", disks.unsynced_lines),
        Bug("commits are not synced", "tracking.db.connect._WRITER_SETUP", disks.unsynced_commits),
        Bug("what a killed run left open is settled at once", "runs.journal.evidence.deadline", disks.at_once, 89),
        Bug("a lost answer is settled at once", "pipeline.link_slices.Doubtful", disks.no_time, 147),
        Bug(
            "edits while a scan runs are not seen",
            "salesforce.connection.Salesforce.server_now",
            copies.late_watermark,
            10,
        ),
        Bug(
            "the intent goes to the journal behind the write",
            "tracking.write.journal.Journal.append",
            links.late_intents,
        ),
        Bug(
            "waiters are told before the batch is written",
            "limiting.group_commit.GroupCommit._write_on",
            links.told_too_soon,
        ),
        Bug(
            "who comes while a batch is written is forgotten",
            "limiting.group_commit.GroupCommit._write_on",
            links.lost_wake_up,
            27,
        ),
        Bug("intents are not written at all", "tracking.write.journal.Journal.append", links.no_intents),
        Bug("a pair is journalled the wrong way round", "pipeline.link_endings.Endings.intended", links.swapped_pair),
        Bug("an edited link is written over", "pipeline.link_slices.link_state", links.edits_are_original, 17),
        Bug("an edit is taken for the original", "pipeline.link_endings.link_state", links.edits_are_original, 31),
        Bug("a lost answer counts as done", "salesforce.links.SalesforceLinks.write", links.lost_is_done, 63),
        Bug("a lost answer counts as refused", "salesforce.links.SalesforceLinks.write", links.lost_is_refused, 45),
        Bug("answers are mapped to the wrong rows", "salesforce.links.SalesforceLinks.write", links.turned_round, 299),
        Bug("a locked row counts as written", "salesforce.links._refusal", links.locked_is_done, 229),
        Bug("a refused row counts as written", "salesforce.links._refusal", links.refused_is_done, 597),
        Bug("strict writes do not say since when", "salesforce.links._http_date", links.far_future, 237),
        Bug(
            "the time in which edits are lost is not measured",
            "pipeline.link_writes.LinkWrites.write",
            links.unmeasured,
            511,
        ),
        Bug("one account in two lanes", "pipeline.changing.lanes", links.any_lane, 3),
        Bug("what a killed run left open is not read", "runs.journal.evidence.Evidence.settle", links.no_settling),
        Bug("what a killed run left open is taken for done", "runs.journal.evidence.settle", links.settled_blindly),
        Bug("copies are not looked at before a wave", "runs.links.wave_copies.WaveCopies.problems", links.no_look, 11),
        Bug("an archived copy counts as one that opens", "pipeline.presence.closed", copies.opens, 11),
        Bug("an older copy of the DB is not noticed", "runs.journal.evidence.witness_of", links.no_witness, 264),
        Bug("a DB without its journal is used", "runs.journal.evidence.journals_of", links.no_other_journal, 6),
        Bug("a rollback forgets its last record", "tracking.read.switchable.undoable", links.one_less, 6),
        Bug(
            "what the org makes of a link counts as an edit",
            "pipeline.link_endings.Endings.changed_since",
            links.made_by_users,
            24,
        ),
        Bug(
            "an edit right behind our write counts as made by the org",
            "salesforce.links.SalesforceLinks._held",
            links.all_by_us,
            128,
        ),
        Bug("an older link of ours becomes an original", "pipeline.intake._unlike", links.never_asked, 44),
        Bug("an undo writes the link that is there", "pipeline.link_endings.Direction.target", links.undo_writes_ours),
        Bug("the rows of switched links stay", "tracking.write.journal._effect", links.no_effect(LinkState.OURS)),
        Bug("the rows of restored links stay", "tracking.write.journal._effect", links.no_effect(LinkState.ORIGINAL)),
        Bug("the rows of deleted records stay", "tracking.write.journal._effect", links.no_effect(LinkState.GONE)),
        Bug("failures are not counted", "pipeline.switching.Counts.add", links.no_failures, 6),
        Bug("a link counts twice", "pipeline.link_endings.Endings.answered", links.counted_twice),
        Bug(
            "the journal's head goes out before its rows",
            "tracking.write.journal.Journal._write_batch",
            links.head_first,
            20,
        ),
        Bug("nobody waits until a batch is in the bucket", "runs.journal.off_box.OffBox.settled", links.no_waiting, 3),
        Bug("the journal's head is not exported", "tracking.write.journal.Journal.export", links.no_head, 268),
        Bug("transactions are not committed", "tracking.db.database.Database.write", links.uncommitted),
        Bug("a page is done before its records", "pipeline.recorder.PageBook._reached", copies.page_done, 21),
        Bug("a taken key is written over", "s3.transfer.guard.Guard.must_be_free", copies.key_is_free, 18),
        Bug("any object under the key is adopted", "pipeline.occupied.TakenKeys._equal", copies.adopts_all, 21),
        Bug("a copy is not held against its source", "pipeline.copying.prove", copies.proves_all, 21),
        Bug(
            "a copy that a killed run made is a conflict", "pipeline.occupied.TakenKeys.settle", copies.never_adopts, 16
        ),
        Bug("the rollback file lacks a line", "runs.links.rollback_file.RollbackFile.add", links.one_line_less),
        Bug("the last wave lacks its last record", "runs.links.switch.waves", links.short_wave, 3),
        Bug("locked rows are never tried again", "pipeline.link_endings.RetryQueue.add", links.never_again, 6),
    ]


@dataclass(frozen=True, slots=True)
class Found:
    """Where a bug came to light. ``seed``: the first that found it, -1 where none did."""

    name: str
    seed: int
    oracle: str
    what: str
    seconds: float


def search(number: int, most: int) -> Found:
    """A seed that finds a bug: the one that the bug knows, or else the first of so many."""
    bug, root = bugs()[number], disk.memory_folder() / f"engine-simulation-{os.getpid()}"
    hostile, begun, what = Hostile(), time.monotonic(), ""
    try:
        for seed in (bug.seed, *range(most)):
            story = draw(seed, hostile)
            found = play(story, root, hostile, around=bug.planted).world.violations
            if found and not play(story, root, hostile).world.violations:
                return Found(bug.name, seed, found[0].oracle, found[0].what, time.monotonic() - begun)
    except LookupError as error:
        what = str(error)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return Found(bug.name, -1, "", what, time.monotonic() - begun)


def run_planted(most: int, jobs: int) -> int:
    """Every bug, and the table of where each was found."""
    planted, begun = bugs(), time.monotonic()
    missed = stale = 0
    print(f"{'planted bug':<60} {'seed':>6}  found by")
    with multiprocessing.Pool(jobs) as pool:
        for bug, found in zip(planted, pool.imap(partial(search, most=most), range(len(planted))), strict=True):
            missed += found.seed < 0
            stale += found.seed not in {-1, bug.seed}
            told = f"{found.seed:>6}  {found.oracle}" if found.seed >= 0 else f"NOT FOUND in {most}: {found.what}"
            more = f", no longer by {bug.seed}, as the table says" if found.seed not in {-1, bug.seed} else ""
            print(f"{found.name:<60} {told}{more}", flush=True)
    print(
        f"{len(planted) - missed} of {len(planted)} planted bugs found, each within {most:,} seeds, {stale} not by the"
        f" seed that the table has, {time.monotonic() - begun:.1f} s"
    )
    return 1 if missed else 0
