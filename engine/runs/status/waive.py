"""``engine waive``: takes records out of the readiness count, and notes who did it and why. Nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.limiting.clock import Clock, SystemClock
from engine.model.command import Advice, Command
from engine.model.errors import Usage
from engine.model.ids import to18
from engine.runs.shared.bounds import bounds_of
from engine.runs.shared.command import to_type
from engine.runs.shared.person import who
from engine.settings import Settings
from engine.tracking.db.database import open_database
from engine.tracking.db.files import inspect
from engine.tracking.db.lock import RunLock
from engine.tracking.read.lookups import outside
from engine.tracking.read.report import open_report
from engine.tracking.write.waivers import Event, Noted, note


@dataclass(frozen=True, slots=True)
class Waived:
    """What was noted."""

    undo: bool
    noted: Noted
    readiness: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """3 if some Ids are unknown, or of switched records: the others are noted."""
        return 3 if self.noted.unknown or self.noted.switched else 0

    @property
    def next_steps(self) -> list[Advice]:
        return [(Command("status --readiness"), "   says what is left to do")]

    def as_json(self) -> dict[str, Any]:
        lists = self.noted._asdict()
        return {
            "event": "undone" if self.undo else "waived",
            **{f"{name}_record_ids": ids for name, ids in lists.items()},
            **lists,
            "readiness": self.readiness,
        }

    def lines(self) -> list[str]:
        """The same for a person."""
        noted, found = self.noted, self.readiness
        verb = "count for readiness again" if self.undo else "waived: they no longer count for readiness"
        lines = [f"{len(noted.noted):,} records {verb}"]
        if noted.already:
            lines.append(f"  {len(noted.already):,} " + ("were not waived" if self.undo else "were waived already"))
        if noted.unknown:
            lines.append(f"  {len(noted.unknown):,} are not in the tracking DB: {_some(noted.unknown)}")
        if noted.switched:
            lines.append(
                f"  {len(noted.switched):,} are switched and were not waived: {_some(noted.switched)}. Their links lead"
                f" to our copies; put them back first: {to_type(Command('run rollback --from-database --ids FILE'))}"
            )
        lines.append(
            f"  now: {found['ready']:,} ready, {found['switched']:,} switched, {found['not_ready']:,} not ready, "
            f"{found['waived']:,} waived of {found['tracked']:,} tracked"
        )
        return lines


async def waive(
    settings: Settings, ids: Sequence[str], *, reason: str, undo: bool, clock: Clock | None = None
) -> Waived:
    """Note it. Raises Fatal; nothing is noted if one Id is malformed, or out of bounds."""
    clock = clock or SystemClock()
    if not ids:
        hint = (Command("waive ID… --reason TEXT"), ", or --file FILE with one Id per line")
        raise Usage("no record Id was given", hint=hint)
    if not reason.strip():
        raise Usage("--reason is empty", hint="Say why: the reason is kept, with your name and the time.")
    if settings.migration.dry_run:
        raise Usage("migration.dry_run is on: nothing is written", hint="Set migration.dry_run to false.")
    account = bounds_of(settings.migration).account_id
    if not settings.tracking.database.exists():
        with open_report(settings.tracking.database):  # says what is missing
            pass
    inspect(settings.tracking.database)
    with RunLock(settings.tracking.database, clock, str(Command("waive"))):
        async with open_database(settings.tracking.database, clock) as database:
            event: Event = "undone" if undo else "waived"
            chosen = [_id(each) for each in ids]
            if account is not None and (others := await outside(database, chosen, account)):
                raise Usage(
                    f"{len(others):,} records lie outside migration.test_account_id ({account}), such as {others[0]}",
                    hint="Nothing was noted. Leave them out, or turn migration.test_single_account off.",
                )
            noted = await note(database, chosen, event, reason=reason.strip(), who=who())
    with open_report(settings.tracking.database) as report:
        return Waived(undo, noted, report.readiness(settings.switch.accept_proof))


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")


def _id(text: str) -> str:
    try:
        return to18(text)
    except ValueError as error:
        raise Usage(str(error), hint="An Id has 15 or 18 letters and digits, such as a0X3D00000AbcDeQAF.") from error
