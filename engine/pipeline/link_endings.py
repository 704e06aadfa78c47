"""How the change of a link ends: decided from what Salesforce answered, or from what the record was found to hold.

No I/O: each ending is a row for the journal, a count, and, where another try is worth it, a place among the retries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.model.change import CHANGED_BY_ORG, Change, Event, Held, LinkState, Open, Said, Sent, Step
from engine.model.failures import FailureClass
from engine.pipeline.switching import PATIENCE, Counts, link_state


@dataclass(frozen=True, slots=True)
class Direction:
    """Which way links go: where one stands before, and after."""

    before: LinkState
    after: LinkState
    intent: Event
    success: Event
    undo: bool

    def target(self, change: Change) -> str:
        """The link that the record is to get."""
        return change.old if self.undo else change.new


SWITCH = Direction(LinkState.ORIGINAL, LinkState.OURS, Event.INTENDED, Event.APPLIED, undo=False)
UNDO = Direction(LinkState.OURS, LinkState.ORIGINAL, Event.UNDO_INTENDED, Event.UNDONE, undo=True)


class Rewritten(NamedTuple):
    """A record that holds another value than we wrote. ``by``: the user who changed it."""

    id: str
    wrote: str
    found: str
    by: str


class RetryQueue:
    """Changes that get another try, each at most ``attempts`` tries in all."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._waiting: list[Change] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def stubborn(self) -> int:
        """How many of them were locked again and again."""
        return sum(change.locked >= PATIENCE for change in self._waiting)

    def add(self, change: Change, *, contended: bool = False, locked: bool = False) -> bool:
        """False where it has had all its tries. ``contended``: the records beside it may be the trouble. ``locked``:
        it met a lock; that takes time, and no smaller batch."""
        if change.tries + 1 >= self._attempts:
            return False
        tries, contentions, locks = change.tries + 1, change.contended + contended, change.locked + locked
        self._waiting.append(change._replace(tries=tries, contended=contentions, locked=locks))
        return True

    def put_back(self, changes: Sequence[Change]) -> None:
        """They had no try."""
        self._waiting += changes

    def take(self) -> list[Change]:
        """The next ones, accounts together: all that may travel in slices of one size."""
        first = min(change.contended for change in self._waiting)
        batch = [change for change in self._waiting if change.contended == first]
        self._waiting = [change for change in self._waiting if change.contended != first]
        return sorted(batch, key=lambda change: (change.account, change.id))


class Endings:
    """Of one run, in one direction."""

    def __init__(self, direction: Direction, attempts: int) -> None:
        self.direction = direction
        self.retries = RetryQueue(attempts)
        self.rewritten: Rewritten | None = None
        """The first that the org has changed."""
        self.edited_behind: Rewritten | None = None
        """The first that another user has changed right behind our write."""

    def intended(self, change: Change) -> Step:
        """Before anything is sent."""
        direction = self.direction
        return Step(change.id, change.old, change.new, direction.intent, change.wave, undo=direction.undo)

    def not_sent(self, change: Change, why: object) -> Step:
        """It stands as it was last known, and nothing is left open."""
        return self._step(change, Event.REFUSED, self.direction.before, f"not sent: {why}")

    def answered(self, change: Change, said: Said, counts: Counts) -> Step:
        """The answer is certain."""
        match said.sent:
            case Sent.DONE:
                counts.done += 1
                direction = self.direction
                return self._step(change, direction.success, direction.after)
            case Sent.AGAIN | Sent.APART if said.failure is FailureClass.INTERRUPTED or self._again(change, said):
                return self._step(change, Event.REFUSED, self.direction.before, f"{said.message}; to be tried again")
            case Sent.STOP:
                return self._step(change, Event.REFUSED, self.direction.before, said.message)
        return self._failed(change, said.message, said.failure or FailureClass.REJECTED, counts)

    def _again(self, change: Change, said: Said) -> bool:
        locked = said.failure is FailureClass.THROTTLED
        # an automation that meets a lock fails on all records: the lock may end soon, or be one record's alone
        contended = not locked or (said.sent is Sent.APART and change.locked + 1 >= PATIENCE)
        return self.retries.add(change, contended=contended, locked=locked)

    def found_after(self, change: Change, said: Said, held: Held | None, counts: Counts) -> Step:
        """The answer left it open, the record was read, and Salesforce is at it no more."""
        where = link_state(held, change.old, change.new)
        if where is self.direction.after:
            counts.done += 1
            return self._step(change, Event.SETTLED, where)
        if where is LinkState.EDITED and held is not None and held.by_us and said.sent is Sent.UNKNOWN:
            return self._by_org(change, held, where, counts)  # it held what we expected right before this write
        if where is not self.direction.before:
            return self.found(change, held, counts)
        why = f"found undone after: {said.message or 'an unclear answer'}"
        if self.retries.add(change):
            return self._step(change, Event.SETTLED, self.direction.before, why)
        return self._failed(change, why, said.failure or FailureClass.NETWORK, counts)

    def found(self, change: Change, held: Held | None, counts: Counts) -> Step:
        """It needs no write, or its write was found done."""
        where = link_state(held, change.old, change.new)
        match where:
            case LinkState.GONE:
                counts.gone += 1
                return self._step(change, Event.KEPT, where)
            case LinkState.EDITED:
                counts.edited += 1
                assert held is not None
                return self._step(change, Event.KEPT, where, held.last_by, found=held.url)
        if change.tries:
            counts.done += 1
        else:
            counts.already += 1
        return self._step(change, Event.SETTLED, where)

    def changed_since(self, change: Change, held: Held | None, where: LinkState, counts: Counts) -> Step:
        """It was written a moment ago, and holds something else by now.

        Where our own user has changed it last, automation has done that, within our write or in its wake: the value is
        ours to undo. Whatever another user has done is an edit, and stays.
        """
        counts.done -= 1
        if held is not None and held.by_us:
            return self._by_org(change, held, where, counts)._replace(behind=True)
        if held is not None:
            seen = Rewritten(change.id, self.direction.target(change), held.url, held.by)
            self.edited_behind = self.edited_behind or seen
        if held is None or where is LinkState.EDITED:
            return self.found(change, held, counts)._replace(behind=True)
        counts.edited += 1
        put_back = self._step(change, Event.SETTLED, where, held.last_by)
        return put_back._replace(behind=True, undo=where is LinkState.ORIGINAL)

    def _by_org(self, change: Change, held: Held, where: LinkState, counts: Counts) -> Step:
        """Automation of the org has changed what we wrote."""
        counts.rewritten += 1
        self.rewritten = self.rewritten or Rewritten(change.id, self.direction.target(change), held.url, held.by)
        if where is self.direction.before:
            return self._step(change, Event.SETTLED, where, CHANGED_BY_ORG, failure=FailureClass.REJECTED)
        return made_by_org(change, held, undo=self.direction.undo)

    def _failed(self, change: Change, why: str, failure: FailureClass, counts: Counts) -> Step:
        counts.failed += 1
        return self._step(change, Event.REFUSED, self.direction.before, why, failure=failure)

    def _step(
        self,
        change: Change,
        event: Event,
        where: LinkState | None,
        message: str = "",
        *,
        found: str = "",
        failure: FailureClass | None = None,
    ) -> Step:
        undo = self.direction.undo
        return Step(change.id, change.old, change.new, event, change.wave, where, message, found, failure, undo)


def made_by_org(change: Change | Open, held: Held, *, undo: bool) -> Step:
    """What automation has made of our link is ours to undo."""
    made = Step(change.id, change.old, held.url, Event.REWRITTEN, change.wave, LinkState.OURS, CHANGED_BY_ORG)
    return made._replace(failure=FailureClass.REJECTED, undo=undo)
