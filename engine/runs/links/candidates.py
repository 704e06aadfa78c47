"""The links of a rollback. A journal or a rollback file says which ones, Salesforce says which of them are ours now."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.model.change import Change, Event, Held, LinkState, Ours, Step
from engine.model.command import Command
from engine.model.errors import Paused, Transient, Usage
from engine.model.old_copy import IMPORT
from engine.pipeline.link_writes import LinkStore
from engine.pipeline.switching import WINDOW, Counts, link_state
from engine.runs.links.old_links import PROBES, spread
from engine.runs.links.rollback_lines import Restorable
from engine.runs.shared.command import as_flags
from engine.tracking.ledger import Ledger
from engine.tracking.read import restorable, switchable
from engine.tracking.read.switchable import Undo, Undoable
from engine.tracking.write.journal import Journal

RUNS_SHOWN = 20
_MOVES_LINKS = ("switch", IMPORT)


@dataclass(slots=True)
class CandidateCounts:
    """What a read of all candidates found."""

    to_undo: int = 0
    counts: Counts = field(default_factory=Counts)
    samples: list[str] = field(default_factory=list)
    alike: int = 0
    """Of the edited ones: those that may be the work of automation. They look like a link of ours, or our own user has
    changed them."""
    example: tuple[str, str] = ("", "")
    """The first of them, with what it holds."""

    def edited(self, each: Undoable, now: Held) -> None:
        """A record was found to hold what is no value of ours."""
        if now.by_us or any(_alike(now.url, value.new) for value in each.values):
            self.alike += 1
            self.example = self.example if self.alike > 1 else (each.id, now.url)


class Candidates:
    """The wanted records with the values of ours that each may hold, in the order of accounts. ``file``: used instead
    of the journal."""

    def __init__(self, ledger: Ledger, links: LinkStore, wanted: Undo, limit: int | None) -> None:
        self._ledger = ledger
        self._links = links
        self._wanted = wanted
        self._limit = limit
        self._rows: array[int] = array("q")
        self._late: list[Undoable] = []
        self.doubtful: Collection[str] = ()
        """Records that Salesforce may still be writing: they are left for the end."""
        self.file: Restorable | None = None
        self.count = 0

    async def must_exist(self) -> None:
        """Raises Usage where the wanted run is not a switch, or no wave has the wanted number."""
        run, wave, database = self._wanted.run, self._wanted.wave, self._ledger.database
        if self.file is None and run is not None:
            self._must_be_a_switch(run, await switchable.runs(database))
        if wave is None:
            return
        waves = await (switchable.waves(database, run) if self.file is None else restorable.waves(database))
        if wave not in waves:
            there = ", ".join(map(str, sorted(waves))) or "none"
            raise Usage(f"--wave {wave}: there is no such wave", hint=f"waves: {there}")

    def _must_be_a_switch(self, run: int, runs: dict[int, str]) -> None:
        kind = runs.get(run, "")
        if kind in _MOVES_LINKS:
            return
        if kind == "rollback":
            again = Command(f"run switch --dry-run{as_flags(account=self._wanted.account)}")
            raise Usage(
                f"--run {run} is a rollback, and a rollback is not undone: a new switch brings our links back",
                hint=(again, "   plans it, with whatever else is ready"),
            )
        switches = [str(each) for each, type_ in runs.items() if type_ in _MOVES_LINKS]
        shown = ", ".join(switches[:RUNS_SHOWN]) + (" …" if len(switches) > RUNS_SHOWN else "")
        raise Usage(
            f"--run {run}: " + (f"that is a {kind}, which changes no links" if kind else "there is no such run"),
            hint=f"runs that switched, latest first: {shown or 'none yet'}",
        )

    async def select(self) -> None:
        """Find them. Raises Usage for flags that cannot be used with a rollback file."""
        if self.file is None:
            self._rows = await switchable.undoable(self._ledger.database, self._wanted)
            self.count = len(self._rows)
        else:
            self.count = await self._chosen(self.file)

    async def undoable(
        self, found: CandidateCounts, journal: Journal | None, *, late: bool = False
    ) -> AsyncIterator[list[Change]]:
        """Those that hold our link now, window by window. Of the others, the journal learns where their links stand.
        ``late``: those that were doubtful the first time."""
        wanted, self._late = self._late, []
        async for every in _windows(wanted) if late else self._chunks():
            self._late += [each for each in every if each.id in self.doubtful]
            chunk = [each for each in every if each.id not in self.doubtful]
            if not chunk:
                continue
            try:
                held = await self._links.read([each.id for each in chunk])
            except Transient as error:
                raise Paused(
                    f"Salesforce does not answer: {error}", hint="Start the same command again later."
                ) from error
            others = await self._other_values(chunk, held)
            steps: list[Step] = []
            ours: list[Change] = []
            for each in chunk:
                now = held[each.id]
                other = others.get(each.id)
                change = _change(each, now, other)
                where = link_state(now, change.old, change.new)
                if where is LinkState.OURS:
                    if self._limit is None or found.to_undo < self._limit:
                        found.to_undo += 1
                        ours.append(change)
                    continue
                if other is not None:
                    found.counts.stale += 1
                    continue
                _count(found.counts, where)
                edited = message = ""
                if now is not None and where is LinkState.EDITED:
                    found.edited(each, now)
                    edited, message = now.url, now.last_by
                if each.link_state in {"", LinkState.OURS}:  # news to the journal
                    event = Event.SETTLED if where is LinkState.ORIGINAL else Event.KEPT
                    steps.append(change.step(event, where, message, found=edited, undo=True))
            if journal is not None:
                await journal.append(steps)
            room = PROBES - len(found.samples)
            found.samples += [change.old for change in spread(ours, room)]
            if ours:
                yield ours

    async def _other_values(self, chunk: Sequence[Undoable], held: Mapping[str, Held | None]) -> dict[str, Ours]:
        """Of the records that hold a value of ours which is not among the wanted ones: what the journal knows of it."""
        others = [
            (each.id, now.url)
            for each in chunk
            if (now := held[each.id]) is not None
            and now.url != each.values[0].old
            and all(now.url != value.new for value in each.values)
        ]
        return await self._ledger.ours(others)

    async def _chosen(self, read: Restorable) -> int:
        """How many of the file's links the flags allow. Accounts come from the DB, where it knows them."""
        wanted, database, run = self._wanted, self._ledger.database, read.header.get("run")
        if wanted.run is not None and wanted.run != run:
            raise Usage(f"--run {wanted.run}: the file " + (f"is of run {run}" if run else "does not say of which run"))
        if wanted.since is not None and not read.narrowed:
            raise Usage("--since goes with --from-database: a rollback file has no times")
        if wanted.account is not None and not await restorable.knows_accounts(database):
            raise Usage("--account needs a tracking DB that knows the records; this one is new")
        return await restorable.choose(database, wanted)

    async def _chunks(self) -> AsyncIterator[list[Undoable]]:
        if self.file is not None:
            for start in restorable.starts(self.count):
                yield await restorable.changes(self._ledger.database, start, self._wanted)
            return
        for rows in switchable.chunks(self._rows, WINDOW):
            yield await switchable.changes(self._ledger.database, rows, self._wanted)


def _change(each: Undoable, now: Held | None, other: Ours | None) -> Change:
    """What the record holds, if that is a wanted value, or what the org has made of its undo; otherwise the latest."""
    at = next((value for value in each.values if now is not None and now.url == value.new), each.values[0])
    if now is not None and other is not None and other.rewritten and other.old == at.old:
        at = at._replace(new=now.url)
    return Change(each.id, each.account, at.old, at.new, at.wave)


async def _windows(changes: list[Undoable]) -> AsyncIterator[list[Undoable]]:
    for start in range(0, len(changes), WINDOW):
        yield changes[start : start + WINDOW]


def moment(text: str | None) -> str | None:
    """``--since`` as the journal writes times. A time without a zone is UTC. Raises Usage."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Usage(f"--since {text!r} is not a time", hint="Write 2026-11-22T10:00:00Z, or 2026-11-22.") from error
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def told_since(text: str | None) -> str:
    """The instant that was understood, for a person; empty where none was given. Raises Usage."""
    at = moment(text)
    if text is None or at is None:
        return ""
    zone = "" if datetime.fromisoformat(text).tzinfo else "; a time without a zone is UTC"
    return f"at {at.removesuffix('Z').removesuffix('.000000')}Z (UTC) or later{zone}"


def _alike(found: str, ours: str) -> bool:
    """Whether something seems to have been made of a link of ours."""
    one, other = found.lower(), ours.lower()
    return bool(one and other) and (one.startswith(other) or other.startswith(one))


def _count(counts: Counts, where: LinkState) -> None:
    match where:
        case LinkState.ORIGINAL:
            counts.already += 1
        case LinkState.EDITED:
            counts.edited += 1
        case LinkState.GONE:
            counts.gone += 1
