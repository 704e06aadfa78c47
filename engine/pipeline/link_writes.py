"""Links written to Salesforce: sent in slices, and read again where an answer leaves open what a record holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.limiting.clock import Clock
from engine.model.change import Change, Held, Said, Sent, Step
from engine.model.errors import Fatal, Paused, Refused, Transient
from engine.model.failures import FailureClass
from engine.pipeline.link_endings import Endings
from engine.pipeline.switching import SLICE, Counts, link_state, slices

STRICT_SLICE = 25

_UNSURE = (Sent.UNKNOWN, Sent.MOVED, Sent.NOT_DONE)
_Held = dict[str, Held | None]


class LinkStore(Protocol):
    """Salesforce, as far as links go. ``salesforce/links.py`` says what the errors mean."""

    async def read(self, ids: Sequence[str]) -> dict[str, Held | None]: ...

    async def write(self, changes: Sequence[tuple[str, str]]) -> list[Said]: ...

    async def write_strictly(self, changes: Sequence[tuple[str, str, str]]) -> list[Said]: ...


@dataclass(slots=True)
class Written:
    """What became of the changes that were to be written."""

    steps: list[Step] = field(default_factory=list)
    done: list[Change] = field(default_factory=list)
    """Those that Salesforce confirmed."""
    doubtful: list[tuple[Change, Said]] = field(default_factory=list)
    """Those that Salesforce may still be at."""
    stopping: Fatal | None = None
    """What ends the run, once the steps are in the journal."""


class LinkWrites:
    """``strict``: a record is only written where nobody has touched it since it was read."""

    def __init__(self, links: LinkStore, clock: Clock, endings: Endings, *, strict: bool) -> None:
        self._links = links
        self._clock = clock
        self._endings = endings
        self._strict = strict
        self.unseen_s = 0.0
        """The longest that lay between asking what records hold and knowing that they were written: an edit within it
        was overwritten. 0 for strict writes."""

    async def write(self, changes: Sequence[Change], held: _Held, counts: Counts, asked_at: float) -> Written:
        """Raises nothing. ``held``: what the records hold, asked for at ``asked_at``."""
        answers, stopping = await self._answers(changes, held, asked_at)
        found, failed = await self._read_again([change.id for change, said in answers if said.sent in _UNSURE])
        written = Written(stopping=stopping or failed)
        for change, said in answers:
            if said.sent is Sent.UNKNOWN and not self._has_come(change, found, asked_at):
                written.doubtful.append((change, said))
            elif change.id in found:
                written.steps.append(self._endings.found_after(change, said, found[change.id], counts))
            elif said.sent not in _UNSURE:  # the others stay open in the journal
                written.steps.append(self._endings.answered(change, said, counts))
            if said.sent is Sent.DONE:
                written.done.append(change)
            if said.sent is Sent.STOP and written.stopping is None:
                written.stopping = _locked_out(said)
        return written

    def _has_come(self, change: Change, found: _Held, asked_at: float) -> bool:
        """Whether a write without a clear answer is found done."""
        if change.id not in found:
            return False
        if link_state(found[change.id], change.old, change.new) is not self._endings.direction.after:
            return False
        self.unseen(asked_at)
        return True

    def unseen(self, asked_at: float) -> None:
        """A write is known to be done."""
        if not self._strict:
            self.unseen_s = max(self.unseen_s, self._clock.monotonic() - asked_at)

    async def _answers(
        self, changes: Sequence[Change], held: _Held, asked_at: float
    ) -> tuple[list[tuple[Change, Said]], Fatal | None]:
        answers: list[tuple[Change, Said]] = []
        stopping: Fatal | None = None
        for part in slices(changes, STRICT_SLICE if self._strict else SLICE):
            if stopping is not None:
                said = [Said(Sent.AGAIN, FailureClass.INTERRUPTED, "not sent")] * len(part)
            else:
                try:
                    said = await self._send(part, held)
                    self.unseen(asked_at)
                except Transient as error:
                    said = [Said(Sent.UNKNOWN, error.failure, str(error))] * len(part)
                except Refused as error:
                    said = [Said(Sent.REFUSED, error.failure, str(error))] * len(part)
                except Fatal as error:
                    # refused as a whole before anything was done: quota, login, a request that does not stand
                    stopping = error
                    said = [Said(Sent.AGAIN, FailureClass.INTERRUPTED, f"not done: {error}")] * len(part)
            answers += zip(part, said, strict=True)
        return answers, stopping

    async def _read_again(self, ids: Sequence[str]) -> tuple[_Held, Fatal | None]:
        try:
            return (await self._links.read(ids) if ids else {}), None
        except Transient as error:
            return {}, silent(error)
        except Fatal as error:
            return {}, error

    async def _send(self, part: Sequence[Change], held: _Held) -> list[Said]:
        target = self._endings.direction.target
        if not self._strict:
            return await self._links.write([(change.id, target(change)) for change in part])
        changes = []
        for change in part:
            now = held[change.id]
            assert now is not None
            changes.append((change.id, target(change), now.modified))
        return await self._links.write_strictly(changes)


def silent(error: Transient) -> Paused:
    """Every try was in vain."""
    return Paused(
        f"Salesforce does not answer any more: {error}",
        hint="What is open is in the journal; the next start reads it first. Start the same command again later.",
    )


def _locked_out(said: Said) -> Paused:
    """No record will fare better than this one did."""
    return Paused(
        f"Salesforce lets nobody through: {said.message}",
        hint="Mend that (the integration user must be allowed to edit the URL field), then start again.",
    )
