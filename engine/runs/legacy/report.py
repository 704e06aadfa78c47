"""How an import ended, for a person and for a script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model.change import LinkState
from engine.model.command import Advice, Command
from engine.model.failures import FailureClass
from engine.model.outcome import Status
from engine.runs.legacy.tally import BROKEN, DEAD, NO_WAY_BACK, Tallied
from engine.runs.shared.report import Ended, by_reason, duration, proved_by

_SILENT = (FailureClass.NETWORK, FailureClass.THROTTLED)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import ended, or what one would do."""

    ended: Ended
    file: Path
    tallied: Tallied
    execute: Command
    """The command that writes."""

    @property
    def exit_code(self) -> int:
        return self.ended.exit_code

    def as_json(self) -> dict[str, Any]:
        t, file, scripts = self.tallied, self.tallied.file, self.tallied.file.scripts
        return {
            **self.ended.as_json(),
            "dry_run": self.ended.dry_run,
            "seconds": round(self.ended.seconds, 3),
            "file": str(self.file),
            "timezone": file.zone,
            "rows": {
                "read": file.read,
                "records": file.records,
                "duplicates": file.duplicates,
                "left_out": file.left_out,
                "unfit": dict(file.unfits),
                "known_already": t.known,
            },
            **({"would_import": t.ends.total()} if self.ended.dry_run else {}),
            "records": {status.value: t.states.get(status.value, 0) for status in Status},
            "becomes": [
                {"noted_as": noted, "status": status.value, "failure_class": failure or None, "count": count}
                for (noted, status, failure), count in sorted(t.ends.items())
            ],
            "failures": t.classes,
            "proofs": dict(t.proofs),
            "looked_at_by_head": t.asked,
            "links": {
                "noted_as_moved": file.marked,
                "read": t.links.read,
                "journalled": t.links.states.total(),
                "journalled_before": t.links.journalled_before,
                **{state.value: t.links.states[state] for state in LinkState},
                **{kind: t.kinds[kind] for kind in (DEAD, BROKEN, NO_WAY_BACK)},
            },
            "scripts": {
                "run_count": scripts.runs,
                "runs": scripts.runs,
                "runs_never_closed": scripts.unclosed,
                "runs_that_moved_links": scripts.switches,
                "failed_records": scripts.failed,
            },
            "examples": t.examples,
            **self.ended.last_keys(),
        }

    @property
    def next_steps(self) -> list[Advice]:
        if self.ended.stopped:
            return [(self.execute if not self.ended.dry_run else "the same command", "   goes on")]
        if self.ended.dry_run:
            return [(self.execute, "   imports this")]
        steps: list[Advice] = []
        if silent := sum(self.tallied.classes.get(each.value, 0) for each in _SILENT):
            steps.append((self.execute, f"   asks again about {silent:,} copies for which a store gave no answer"))
        if self.tallied.kinds[DEAD]:
            what = "   puts back the dead links that FILE names; after a full backup, a switch encodes them"
            steps.append((Command("run rollback --from-database --ids FILE --dry-run"), what))
        steps.append((Command("run backup --full"), "   looks at every record, and copies what is pending"))
        if self.tallied.links.states.total():
            steps.append((Command("run rollback --from-database --dry-run"), "   shows what an undo would do"))
        return steps

    def lines(self) -> list[str]:
        """The same for a person."""
        t, file, scripts = self.tallied, self.tallied.file, self.tallied.file.scripts
        rows = f"{file.read:,} rows of {file.records:,} records; its times are those of {file.zone}"
        runs = f"{scripts.runs:,} runs, {scripts.unclosed:,} of them never closed"
        lines = [self.ended.title(), f"  {self.file}: {rows}; {runs}"]
        if file.copied:
            lines.append("  it was left half-written: a copy of it was repaired and read; the file is as it was")
        later = "rows of records that a later row is about"
        rest = ((file.duplicates, later), (file.left_out, "rows left out by settings"))
        lines += [f"  {count:,} {words}" for count, words in rest if count]
        if file.unfits:
            lines.append(f"  cannot be taken over: {by_reason(file.unfits)}")
        if scripts.failed:
            lines.append(f"  failed in the scripts, without a row: {by_reason(scripts.failed)}; a backup looks at them")
        lines += self._becomes()
        if t.proofs:
            lines.append(f"  {proved_by(t.proofs)}; {t.asked:,} looked at by HEAD; {duration(self.ended.seconds)}")
        lines += self._links()
        for kind, shown in sorted(t.examples.items()):
            lines += [f"    {kind}: {example}" for example in shown]
        if self.ended.dry_run:
            lines.append("  nothing was written")
        return lines + self.ended.last_lines()

    def _becomes(self) -> list[str]:
        t = self.tallied
        verb = "would become" if self.ended.dry_run else "became"
        lines = [
            f"  {count:,} noted as {noted} {verb} {status.value}" + (f" / {failure}" if failure else "")
            for (noted, status, failure), count in sorted(t.ends.items(), key=lambda each: -each[1])
        ]
        if t.known:
            lines.append(f"  {t.known:,} left as they are: this tracking DB has them already")
        return lines

    def _links(self) -> list[str]:
        t = self.tallied
        if not t.file.may_have_moved:
            return []
        where = by_reason(t.links.states) or "none"
        gets = f"the journal {'would get' if self.ended.dry_run else 'got'} {t.links.states.total():,} ({where})"
        lines = [f"  links: {t.file.marked:,} noted as moved, {t.links.read:,} read in Salesforce; {gets}"]
        said = {
            DEAD: "links do not open: the key is not encoded in them",
            BROKEN: "links lead to an object that is not proved: users may get another file, or none",
            NO_WAY_BACK: "moved links have no way back: their original is not known, or not let in by the settings",
        }
        return lines + [f"  {t.kinds[kind]:,} {words}" for kind, words in said.items() if t.kinds[kind]]
