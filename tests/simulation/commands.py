"""The commands of ``engine``, as the simulator's operator starts them: words in, a coroutine out."""

from __future__ import annotations

import shlex
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.limiting.clock import Clock
from engine.model.failures import FailureClass
from engine.runs.backup.backup import BackupOptions, backup
from engine.runs.journal.rebuild import rebuild
from engine.runs.links.rollback import rollback
from engine.runs.links.rollback_options import RollbackOptions
from engine.runs.links.switch import SwitchOptions, switch
from engine.runs.shared.bounds import RunFlags
from engine.runs.verify.verify import VerifyOptions, verify
from engine.settings import Settings
from tests.simulation.world import screen


@dataclass(frozen=True, slots=True)
class Words:
    """A command line without ``engine`` before it."""

    verb: str
    flags: frozenset[str]
    values: tuple[tuple[str, str], ...]

    def value(self, name: str) -> str | None:
        return dict(self.values).get(name)

    def number(self, name: str) -> int | None:
        found = self.value(name)
        return None if found is None else int(found)

    def path(self, name: str) -> Path | None:
        found = self.value(name)
        return None if found is None else Path(found)


WITH_VALUE = {
    "--run",
    "--wave",
    "--limit",
    "--account",
    "--rollback-file",
    "--plan",
    "--retry-class",
    "--since",
    "--level",
    "--journal",
}


def parse(line: str | Sequence[str]) -> Words:
    words = shlex.split(line) if isinstance(line, str) else list(line)
    words = words[1:] if words[:1] == ["engine"] else words
    verb = words[1] if words[0] in {"run", "db"} else words[0]
    rest = words[2:] if words[0] in {"run", "db"} else words[1:]
    flags, values = set(), []
    while rest:
        word = rest.pop(0)
        if word in WITH_VALUE:
            values.append((word, rest.pop(0)))
        else:
            flags.add(word)
    return Words(verb, frozenset(flags), tuple(values))


def command(settings: Settings, line: str | Sequence[str], clock: Clock) -> Coroutine[Any, Any, Any]:
    """The work of one command line. Whatever would ask is answered yes."""
    words = parse(line)
    given = words.flags.__contains__
    repeated = "".join(f" {name}" for name in sorted(words.flags - {"--execute", "--full", "--incremental"}))
    repeated += "".join(f" {name} {shlex.quote(value)}" for name, value in words.values)
    plain = RunFlags(limit=words.number("--limit"), repeated=repeated)
    flags = replace(plain, dry_run=not given("--execute"))
    match words.verb:
        case "backup":
            return backup(settings, BackupOptions(flags=plain, full=given("--full")), screen(), clock)
        case "switch":
            retried = words.value("--retry-class")
            wanted = SwitchOptions(
                flags=flags,
                yes=True,
                strict=given("--strict"),
                plan=words.path("--plan"),
                wave=words.number("--wave"),
                upload=given("--upload-rollback-file"),
                retry_classes=frozenset({FailureClass(retried)} if retried else ()),
            )
            return switch(settings, wanted, screen(), clock)
        case "rollback":
            undo = RollbackOptions(
                flags=flags,
                file=words.path("--rollback-file"),
                from_bucket=given("--from-bucket"),
                journal=words.value("--journal"),
                yes=True,
                force=given("--force"),
                strict=given("--strict"),
                run=words.number("--run"),
                wave=words.number("--wave"),
            )
            return rollback(settings, undo, screen(), clock)
        case "verify":
            level: Any = words.value("--level") or "list"
            return verify(settings, VerifyOptions(level=level), screen(), clock)
        case "rebuild":
            return rebuild(settings, screen(), words.value("--journal"), clock)
    raise NotImplementedError(line)
