"""Planted bugs of the way of a link and of the journal: each makes of the right thing the wrong one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine.model.change import Event, LinkState, Said, Sent, Step
from engine.model.errors import Transient
from engine.model.failures import FailureClass
from engine.pipeline.switching import Counts

Make = Callable[[Any], Any]


def late_intents(right: Any) -> Any:
    async def append(self: Any, steps: Sequence[Step]) -> None:
        intents = [step for step in steps if step.link_state is None]
        await right(self, [step for step in steps if step.link_state is not None])
        if intents:
            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(right(self, intents)))

    return append


def no_intents(right: Any) -> Any:
    return lambda self, steps: right(self, [step for step in steps if step.link_state is not None])


def told_too_soon(_right: Any) -> Any:
    async def write_on(self: Any) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
            await self._write([item for items, _ in batch for item in items])

    return write_on


def lost_wake_up(_right: Any) -> Any:
    async def write_on(self: Any) -> None:
        batch, self._waiting = self._waiting, []
        await self._write([item for items, _ in batch for item in items])
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    return write_on


def swapped_pair(right: Any) -> Any:
    return lambda self, change: right(self, change._replace(old=change.new, new=change.old))


def edits_are_original(right: Any) -> Any:
    def link_state(held: Any, old: str, new: str) -> LinkState:
        found: LinkState = right(held, old, new)
        return LinkState.ORIGINAL if found is LinkState.EDITED else found

    return link_state


def lost_is(sent: Sent) -> Make:
    def make(right: Any) -> Any:
        async def write(self: Any, changes: Any) -> Any:
            try:
                return await right(self, changes)
            except Transient:
                return [Said(sent, FailureClass.NETWORK, "lost")] * len(changes)

        return write

    return make


lost_is_done, lost_is_refused = lost_is(Sent.DONE), lost_is(Sent.REFUSED)


def turned_round(right: Any) -> Any:
    async def write(self: Any, changes: Any) -> Any:
        return list(reversed(await right(self, changes)))

    return write


def locked_is_done(right: Any) -> Any:
    def refusal(errors: Any) -> Said:
        said: Said = right(errors)
        return Said(Sent.DONE) if "LOCK" in said.message else said

    return refusal


def refused_is_done(right: Any) -> Any:
    def refusal(errors: Any) -> Said:
        said: Said = right(errors)
        return Said(Sent.DONE) if said.sent is Sent.REFUSED else said

    return refusal


def far_future(right: Any) -> Any:
    return lambda _modified: right("2030-01-01T00:00:00.000+0000")


def unmeasured(right: Any) -> Any:
    async def write(self: Any, *a: Any) -> Any:
        try:
            return await right(self, *a)
        finally:
            self.unseen_s = 0.0

    return write


def any_lane(_right: Any) -> Any:
    return lambda links, _account, count=4: [
        lane for n in range(count) if (lane := [link for place, link in enumerate(links) if place % count == n])
    ]


def no_settling(_right: Any) -> Any:
    async def settle(_self: Any, _opened: Any) -> str:
        return ""

    return settle


def settled_blindly(right: Any) -> Any:
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


def no_look(_right: Any) -> Any:
    async def problems(_self: Any, _links: Any) -> dict[str, Any]:
        return {}

    return problems


def one_less(right: Any) -> Any:
    async def undoable(*a: Any) -> Any:
        return (await right(*a))[:-1]

    return undoable


def undo_writes_ours(right: Any) -> Any:
    return lambda self, change: change.new if self.undo else right(self, change)


def no_effect(state: LinkState) -> Make:
    def make(right: Any) -> Any:
        return lambda step, *more: ("", ()) if step.link_state is state else right(step, *more)

    return make


def no_failures(right: Any) -> Any:
    def add(self: Counts, other: Counts) -> None:
        right(self, replace(other, failed=0))

    return add


def counted_twice(right: Any) -> Any:
    def answered(self: Any, change: Any, said: Said, counts: Counts) -> Step:
        counts.done += said.sent is Sent.DONE
        step: Step = right(self, change, said, counts)
        return step

    return answered


def no_waiting(_right: Any) -> Any:
    async def settled(_self: Any) -> None:
        pass

    return settled


def head_first(right: Any) -> Any:
    async def write_batch(self: Any, steps: Any) -> None:
        self.tip = replace(self.tip, rows=self.tip.rows + len(steps), hash="f" * 64)
        await self.export()
        await right(self, steps)

    return write_batch


def no_head(_right: Any) -> Any:
    async def export(_self: Any) -> None:
        pass

    return export


def uncommitted(right: Any) -> Any:
    async def write(self: Any, work: Any) -> Any:
        def later(db: Any) -> Any:
            result = work(db)
            if db.execute("SELECT count(*) FROM url_changes").fetchone()[0] % 7 == 3:
                db.execute("ROLLBACK")
                db.execute("BEGIN IMMEDIATE")
            return result

        return await right(self, later)

    return write


def one_line_less(right: Any) -> Any:
    async def add(self: Any, steps: Sequence[Step]) -> None:
        intents = [step for step in steps if step.event is Event.INTENDED]
        await right(self, intents[:-1] if len(intents) > 1 else intents)

    return add


def short_wave(right: Any) -> Any:
    def waves_(targets: Any, count: int) -> Any:
        found = right(targets, count)
        return [*found[:-1], replace(found[-1], stop=found[-1].stop - 1)] if count > 3 else found

    return waves_


def never_again(_right: Any) -> Any:
    return lambda *_, **__: True


def made_by_users(_right: Any) -> Any:
    def changed_since(self: Any, change: Any, held: Any, _where: LinkState, counts: Counts) -> Step:
        counts.done -= 1
        return self.found(change, held, counts)

    return changed_since


def never_asked(_right: Any) -> Any:
    return lambda _record, _row: False


def all_by_us(right: Any) -> Any:
    def held(*a: Any) -> Any:
        return {name: now and now._replace(by_us=True) for name, now in right(*a).items()}

    return held


def no_witness(right: Any) -> Any:
    async def witness_of(*a: Any) -> Any:
        found = await right(*a)
        found.tips, found.tip = [], None
        return found

    return witness_of


def no_other_journal(_right: Any) -> Any:
    async def journals_of(*_: Any) -> Any:
        return "", False

    return journals_of
