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
        Bug("a chain tip is not synced", "tracking.db.chain.write_private", disks.unsynced_file),
        Bug("the lines of the rollback file are not synced", "runs.links.switch.begun", disks.unsynced_lines),
        Bug("commits are not synced", "tracking.db.connect._WRITER_SETUP", disks.unsynced_commits),
        Bug("what a killed run left open is settled at once", "runs.journal.evidence.deadline", disks.at_once),
        Bug("a lost answer is settled at once", "pipeline.changing.Doubtful", disks.no_time),
        Bug(
            "edits while a scan runs are not seen",
            "salesforce.connection.Salesforce.server_now",
            copies.late_watermark,
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
        ),
        Bug("intents are not written at all", "tracking.write.journal.Journal.append", links.no_intents),
        Bug("a pair is journalled the wrong way round", "pipeline.link_endings.Endings.intended", links.swapped_pair),
        Bug("an edited link is written over", "pipeline.changing.link_state", links.edits_are_original),
        Bug("an edit is taken for the original", "pipeline.link_endings.link_state", links.edits_are_original),
        Bug("a lost answer counts as done", "salesforce.links.SalesforceLinks.write", links.lost_is_done),
        Bug("a lost answer counts as refused", "salesforce.links.SalesforceLinks.write", links.lost_is_refused),
        Bug("answers are mapped to the wrong rows", "salesforce.links.SalesforceLinks.write", links.turned_round),
        Bug("a locked row counts as written", "salesforce.links._refusal", links.locked_is_done),
        Bug("a refused row counts as written", "salesforce.links._refusal", links.refused_is_done),
        Bug("strict writes do not say since when", "salesforce.links._http_date", links.far_future),
        Bug(
            "the time in which edits are lost is not measured",
            "pipeline.link_writes.LinkWrites.write",
            links.unmeasured,
        ),
        Bug("one account in two lanes", "pipeline.changing.lanes", links.any_lane),
        Bug("what a killed run left open is not read", "runs.journal.evidence.Evidence.settle", links.no_settling),
        Bug("what a killed run left open is taken for done", "runs.journal.evidence.settle", links.settled_blindly),
        Bug("copies are not looked at before a wave", "runs.links.wave_copies.WaveCopies.problems", links.no_look),
        Bug("an archived copy counts as one that opens", "pipeline.presence.closed", copies.opens),
        Bug("a rollback forgets its last record", "tracking.read.switchable.undoable", links.one_less),
        Bug(
            "what the org makes of a link counts as an edit",
            "pipeline.link_endings.Endings.changed_since",
            links.made_by_users,
        ),
        Bug(
            "an edit right behind our write counts as made by the org",
            "salesforce.links.SalesforceLinks._held",
            links.all_by_us,
        ),
        Bug("an older link of ours becomes an original", "pipeline.intake._unlike", links.never_asked),
        Bug("an undo writes the link that is there", "pipeline.link_endings.Direction.target", links.undo_writes_ours),
        Bug("the rows of switched links stay", "tracking.write.journal._effect", links.no_effect(LinkState.OURS)),
        Bug("the rows of restored links stay", "tracking.write.journal._effect", links.no_effect(LinkState.ORIGINAL)),
        Bug("the rows of deleted records stay", "tracking.write.journal._effect", links.no_effect(LinkState.GONE)),
        Bug("failures are not counted", "pipeline.switching.Counts.add", links.no_failures),
        Bug("a link counts twice", "pipeline.link_endings.Endings.answered", links.counted_twice),
        Bug(
            "the journal's head goes out before its rows",
            "tracking.write.journal.Journal._write_batch",
            links.head_first,
        ),
        Bug("nobody waits until a batch is in the bucket", "runs.journal.off_box.OffBox.settled", links.no_waiting),
        Bug("the journal's head is not exported", "tracking.write.journal.Journal.export", links.no_head),
        Bug("transactions are not committed", "tracking.db.database.Database.write", links.uncommitted),
        Bug("a page is done before its records", "pipeline.recorder.PageBook._reached", copies.page_done),
        Bug("a taken key is written over", "s3.transfer.guard.Guard.must_be_free", copies.key_is_free),
        Bug("any object under the key is adopted", "pipeline.occupied.TakenKeys._equal", copies.adopts_all),
        Bug("a copy is not held against its source", "pipeline.copying.prove", copies.proves_all),
        Bug("a copy that a killed run made is a conflict", "pipeline.occupied.TakenKeys.settle", copies.never_adopts),
        Bug("the rollback file lacks a line", "runs.links.rollback_file.RollbackFile.add", links.one_line_less),
        Bug("the last wave lacks its last record", "runs.links.switch.waves", links.short_wave),
        Bug("locked rows are never tried again", "pipeline.link_endings.RetryQueue.add", links.never_again),
    ]


@dataclass(frozen=True, slots=True)
class Found:
    """Where a bug came to light."""

    name: str
    seeds: int
    oracle: str
    what: str
    seconds: float


def search(number: int, most: int) -> Found:
    """The first seed that finds a bug."""
    bug, root = bugs()[number], disk.shelf() / f"engine-simulation-{os.getpid()}"
    hostile, begun = Hostile(), time.monotonic()
    try:
        for seed in range(most):
            story = draw(seed, hostile)
            found = play(story, root, hostile, around=bug.planted).world.violations
            if found and not play(story, root, hostile).world.violations:
                return Found(bug.name, seed + 1, found[0].oracle, found[0].what, time.monotonic() - begun)
    except LookupError as error:
        return Found(bug.name, 0, "", str(error), time.monotonic() - begun)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return Found(bug.name, 0, "", "", time.monotonic() - begun)


def run_planted(most: int, jobs: int) -> int:
    """Every bug, and the table of where each was found."""
    names = [bug.name for bug in bugs()]
    missed = 0
    print(f"{'planted bug':<55} {'seeds':>6}  found by")
    with multiprocessing.Pool(jobs) as pool:
        for found in pool.imap(partial(search, most=most), range(len(names))):
            missed += not found.seeds
            told = f"{found.seeds:>6}  {found.oracle}" if found.seeds else f"NOT FOUND in {most}: {found.what}"
            print(f"{found.name:<55} {told}", flush=True)
    print(f"{len(names) - missed} of {len(names)} planted bugs found, each within {most:,} seeds")
    return 1 if missed else 0
