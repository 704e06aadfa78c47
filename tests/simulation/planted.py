"""Bugs that only tests plant: each must be found within so many seeds, or the simulator is not worth its time.

A bug is a small patch of the engine's insides; nothing else in the tests may do so.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

from engine.model.change import Event, LinkState, Said, Sent, Step
from engine.model.errors import Refused, Transient
from engine.model.facts import Proof
from engine.model.failures import FailureClass
from engine.pipeline.switching import Counts
from tests.simulation import disk
from tests.simulation.story import draw, play
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
        Bug("the intent goes to the journal behind the write", "tracking.write.journal.Journal.append", _late_intents),
        Bug(
            "waiters are told before the batch is written",
            "limiting.group_commit.GroupCommit._write_on",
            _told_too_soon,
        ),
        Bug(
            "who comes while a batch is written is forgotten",
            "limiting.group_commit.GroupCommit._write_on",
            _lost_wake_up,
        ),
        Bug("intents are not written at all", "tracking.write.journal.Journal.append", _no_intents),
        Bug("a pair is journalled the wrong way round", "pipeline.link_endings.Endings.intended", _swapped_pair),
        Bug("an edited link is written over", "pipeline.changing.link_state", _edits_are_original),
        Bug("an edit is taken for the original", "pipeline.link_endings.link_state", _edits_are_original),
        Bug("a lost answer counts as done", "salesforce.links.SalesforceLinks.write", _lost_is_done),
        Bug("a lost answer counts as refused", "salesforce.links.SalesforceLinks.write", _lost_is_refused),
        Bug("answers are mapped to the wrong rows", "salesforce.links.SalesforceLinks.write", _turned_round),
        Bug("a locked row counts as written", "salesforce.links._refusal", _locked_is_done),
        Bug("a refused row counts as written", "salesforce.links._refusal", _refused_is_done),
        Bug("strict writes do not say since when", "salesforce.links._http_date", _far_future),
        Bug("the time in which edits are lost is not measured", "pipeline.link_writes.LinkWrites.write", _unmeasured),
        Bug("one account in two lanes", "pipeline.changing.lanes", _any_lane),
        Bug("what a killed run left open is not read", "runs.journal.evidence.Evidence.settle", _no_settling),
        Bug("what a killed run left open is taken for done", "runs.journal.evidence.settle", _settled_blindly),
        Bug("copies are not looked at before a wave", "runs.links.wave_copies.WaveCopies.problems", _no_look),
        Bug("a rollback forgets its last record", "tracking.read.switchable.undoable", _one_less),
        Bug("an undo writes the link that is there", "pipeline.link_endings.Direction.target", _undo_writes_ours),
        Bug("the rows of switched links stay", "tracking.write.journal._effect", _no_effect(LinkState.OURS)),
        Bug("the rows of restored links stay", "tracking.write.journal._effect", _no_effect(LinkState.ORIGINAL)),
        Bug("the rows of deleted records stay", "tracking.write.journal._effect", _no_effect(LinkState.GONE)),
        Bug("failures are not counted", "pipeline.switching.Counts.add", _no_failures),
        Bug("a link counts twice", "pipeline.link_endings.Endings.answered", _counted_twice),
        Bug("the journal's head goes out before its rows", "tracking.write.journal.Journal._write_batch", _head_first),
        Bug("the journal's head is not exported", "tracking.write.journal.Journal.export", _no_head),
        Bug("transactions are not committed", "tracking.db.database.Database.write", _uncommitted),
        Bug("a page is done before its records", "pipeline.recorder.PageBook._reached", _page_done),
        Bug("a taken key is written over", "s3.transfer.guard.Guard.must_be_free", _key_is_free),
        Bug("any object under the key is adopted", "pipeline.occupied.TakenKeys._equal", _adopts_all),
        Bug("a copy is not held against its source", "pipeline.copying.prove", _proves_all),
        Bug("a copy that a killed run made is a conflict", "pipeline.occupied.TakenKeys.settle", _never_adopts),
        Bug("the rollback file lacks a line", "runs.links.rollback_file.RollbackFile.add", _one_line_less),
        Bug("the last wave lacks its last record", "runs.links.switch.waves", _short_wave),
        Bug("locked rows are never tried again", "pipeline.link_endings.RetryQueue.add", _never_again),
    ]


# the patches


def _late_intents(right: Any) -> Any:
    async def append(self: Any, steps: Sequence[Step]) -> None:
        intents = [step for step in steps if step.link_state is None]
        await right(self, [step for step in steps if step.link_state is not None])
        if intents:
            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(right(self, intents)))

    return append


def _no_intents(right: Any) -> Any:
    return lambda self, steps: right(self, [step for step in steps if step.link_state is not None])


def _told_too_soon(_right: Any) -> Any:
    async def write_on(self: Any) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
            await self._write([item for items, _ in batch for item in items])

    return write_on


def _lost_wake_up(_right: Any) -> Any:
    async def write_on(self: Any) -> None:
        batch, self._waiting = self._waiting, []
        await self._write([item for items, _ in batch for item in items])
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    return write_on


def _swapped_pair(right: Any) -> Any:
    return lambda self, change: right(self, change._replace(old=change.new, new=change.old))


def _edits_are_original(right: Any) -> Any:
    def link_state(held: Any, old: str, new: str) -> LinkState:
        found: LinkState = right(held, old, new)
        return LinkState.ORIGINAL if found is LinkState.EDITED else found

    return link_state


def _lost_is(sent: Sent) -> Make:
    def make(right: Any) -> Any:
        async def write(self: Any, changes: Any) -> Any:
            try:
                return await right(self, changes)
            except Transient:
                return [Said(sent, FailureClass.NETWORK, "lost")] * len(changes)

        return write

    return make


_lost_is_done, _lost_is_refused = _lost_is(Sent.DONE), _lost_is(Sent.REFUSED)


def _turned_round(right: Any) -> Any:
    async def write(self: Any, changes: Any) -> Any:
        return list(reversed(await right(self, changes)))

    return write


def _locked_is_done(right: Any) -> Any:
    def refusal(errors: Any) -> Said:
        said: Said = right(errors)
        return Said(Sent.DONE) if "LOCK" in said.message else said

    return refusal


def _refused_is_done(right: Any) -> Any:
    def refusal(errors: Any) -> Said:
        said: Said = right(errors)
        return Said(Sent.DONE) if said.sent is Sent.REFUSED else said

    return refusal


def _far_future(right: Any) -> Any:
    return lambda _modified: right("2030-01-01T00:00:00.000+0000")


def _unmeasured(right: Any) -> Any:
    async def write(self: Any, *a: Any) -> Any:
        try:
            return await right(self, *a)
        finally:
            self.unseen_s = 0.0

    return write


def _any_lane(_right: Any) -> Any:
    return lambda links, _account, count=4: [
        lane for n in range(count) if (lane := [link for place, link in enumerate(links) if place % count == n])
    ]


def _no_settling(_right: Any) -> Any:
    async def settle(_self: Any, _opened: Any) -> str:
        return ""

    return settle


def _settled_blindly(right: Any) -> Any:
    class Blind:
        def __init__(self, links: Any, pairs: dict[str, str]) -> None:
            self._links, self._pairs = links, pairs

        async def read(self, ids: Sequence[str]) -> Any:
            held = await self._links.read(ids)
            return {name: now and now._replace(url=self._pairs.get(name, now.url)) for name, now in held.items()}

    async def settle(links: Any, journal: Any, opened: Any) -> Any:
        pairs = {change.id: change.old if change.undo else change.new for change in opened}
        return await right(Blind(links, pairs), journal, opened)

    return settle


def _no_look(_right: Any) -> Any:
    async def problems(_self: Any, _links: Any) -> dict[str, Any]:
        return {}

    return problems


def _one_less(right: Any) -> Any:
    async def undoable(*a: Any) -> Any:
        return (await right(*a))[:-1]

    return undoable


def _undo_writes_ours(right: Any) -> Any:
    return lambda self, change: change.new if self.undo else right(self, change)


def _no_effect(state: LinkState) -> Make:
    def make(right: Any) -> Any:
        return lambda step, *more: ("", ()) if step.link_state is state else right(step, *more)

    return make


def _no_failures(right: Any) -> Any:
    def add(self: Counts, other: Counts) -> None:
        right(self, replace(other, failed=0))

    return add


def _counted_twice(right: Any) -> Any:
    def answered(self: Any, change: Any, said: Said, counts: Counts) -> Step:
        counts.done += said.sent is Sent.DONE
        step: Step = right(self, change, said, counts)
        return step

    return answered


def _head_first(right: Any) -> Any:
    async def write_batch(self: Any, steps: Any) -> None:
        self.tip = replace(self.tip, rows=self.tip.rows + len(steps), hash="f" * 64)
        await self.export()
        await right(self, steps)

    return write_batch


def _no_head(_right: Any) -> Any:
    async def export(_self: Any) -> None:
        pass

    return export


def _uncommitted(right: Any) -> Any:
    async def write(self: Any, work: Any) -> Any:
        def later(db: Any) -> Any:
            result = work(db)
            if db.execute("SELECT count(*) FROM url_changes").fetchone()[0] % 7 == 3:
                db.execute("ROLLBACK")
                db.execute("BEGIN IMMEDIATE")
            return result

        return await right(self, later)

    return write


def _page_done(_right: Any) -> Any:
    def reached(self: Any, pages: Any) -> Any:
        found = None
        while pages:
            page, found = pages.popleft()
            self._left.pop(page, None)
        return found

    return reached


def _key_is_free(_right: Any) -> Any:
    async def must_be_free(*_: Any, **__: Any) -> None:
        pass

    return must_be_free


def _adopts_all(_right: Any) -> Any:
    async def equal(*_: Any) -> Proof:
        return Proof.CHECKSUM

    return equal


def _proves_all(_right: Any) -> Any:
    return lambda *_: Proof.CHECKSUM


def _never_adopts(_right: Any) -> Any:
    async def settle(*_: Any) -> Any:
        raise Refused(FailureClass.KEY_CONFLICT, "taken")

    return settle


def _one_line_less(right: Any) -> Any:
    async def add(self: Any, steps: Sequence[Step]) -> None:
        intents = [step for step in steps if step.event is Event.INTENDED]
        await right(self, intents[:-1] if len(intents) > 1 else intents)

    return add


def _short_wave(right: Any) -> Any:
    def waves_(targets: Any, count: int) -> Any:
        found = right(targets, count)
        return [*found[:-1], replace(found[-1], stop=found[-1].stop - 1)] if count > 3 else found

    return waves_


def _never_again(_right: Any) -> Any:
    return lambda *_, **__: True


# the search


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
