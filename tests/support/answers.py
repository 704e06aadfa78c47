"""One story in which every command that takes ``--json`` answers: after success, a dry run, a failure, a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.limiting.clock import SystemClock
from engine.rehearsal.old_scripts import OldScripts
from engine.rehearsal.salesforce.world import make_id
from engine.tracking.db.chain import tip_path
from engine.tracking.db.lock import RunLock
from tests.support.commands import lose_the_database, nobody, remove
from tests.support.corner import Corner, Said
from tests.support.legacy import Expected, Migrated

EXECUTE = ("--execute", "--yes", "--no-progress")
SOON = ("--max-duration", "0.001s")
TUNE = ("tune", "--real", "--requests", "50", "--concurrency", "2", "--concurrency", "4")


@dataclass(frozen=True, slots=True)
class Heard:
    """``command``: its name, without flags; ``words``: all of it."""

    command: str
    words: tuple[str, ...]
    said: Said

    @property
    def document(self) -> dict[str, Any]:
        return dict(self.said.json)


class Story:
    """``files``: JSON documents that were written on the way, each with the command that wrote it."""

    def __init__(self, corner: Corner) -> None:
        self.corner = corner
        self.heard: list[Heard] = []
        self.files: list[tuple[str, Path]] = []

    def ask(self, code: int, command: str, *flags: str, env: Mapping[str, str] | None = None) -> Said:
        words = (*command.split(), *flags, "--json")
        said = self.corner.engine(*words, **(env or {}))
        assert said.code == code, (words, said.everything)
        self.heard.append(Heard(command, words, said))
        return said

    def file(self, name: str) -> str:
        return str(self.corner.directory / name)

    def exported(self, command: str, name: str) -> str:
        self.files.append((command, self.corner.directory / name))
        return self.file(name)

    def play(self) -> None:
        self.before_a_run()
        self.legacy()
        self.backups()
        self.looks()
        self.links()
        self.the_end()

    def before_a_run(self) -> None:
        corner = self.corner
        account = corner.account("One")
        self.records = corner.files(4, account=account)
        corner.records([corner.row(url=corner.url("never/was.pdf"), account=account), corner.row(url="http://")])
        self.ask(4, "status")
        self.ask(0, "accounts")
        self.ask(0, "doctor")
        self.ask(0, "doctor", "--iam")
        self.ask(4, "doctor", env={"ENGINE_DESTINATION__BUCKET": "nobody-made-this"})
        self.ask(
            0,
            "analyze",
            "--export",
            self.exported("analyze", "analysis.json"),
            "--archived",
            self.file("archived.ndjson"),
        )
        self.ask(0, TUNE[0], *TUNE[1:])
        self.ask(2, "run backup", "--full", "--incremental")
        self.ask(2, "run backup", "--nonsense")
        self.ask(2, "audit", "--record", "short")
        OldScripts(corner.directory / "old.db").close()
        self.ask(0, "import-legacy", self.file("old.db"))
        self.ask(4, "import-legacy", self.file("archived.ndjson"))
        self.ask(2, "accounts", env={"ENGINE_MIGRATION__CONCURRENCY": "0"})
        self.ask(4, "accounts", env={"ENGINE_SALESFORCE__LOGIN_URL": nobody()})

    def legacy(self) -> None:
        """In a corner of its own: the others begin without a tracking DB."""
        place, mine = self.corner.directory / "legacy", self.corner
        place.mkdir()
        old = Migrated(Corner(mine.stage, place))
        old.copy()
        old.copy(Expected("switched"), noted=1, holds="link")
        old.copy(Expected("pending", "copy_missing"), ours=None)
        old.scripts.run("backup")
        old.scripts.failed("a0X000000000000AAA")
        self.corner = old.corner
        for flags in ((), ("--execute",)):
            self.ask(0, "import-legacy", str(old.file), "--timezone", "Europe/Berlin", "--no-progress", *flags)
        self.ask(2, "import-legacy", str(old.file), "--timezone", "Nowhere")
        self.corner = mine
        old.scripts.close()

    def backups(self) -> None:
        backup = ("run backup", "--full", "--no-progress")
        self.ask(0, *backup, "--dry-run")
        self.ask(5, *backup, *SOON)
        self.ask(0, "status")
        self.ask(3, *backup)
        self.ask(3, "run backup", "--incremental", "--no-progress")
        self.ask(0, "analyze")
        with RunLock(self.corner.database, SystemClock()):
            self.ask(11, *backup)

    def looks(self) -> None:
        corner = self.corner
        self.ask(
            0, "status", "--all", "--export", self.exported("status", "report.json"), "--not-ready", self.file("no.csv")
        )
        self.ask(0, "status", "--run-settings")
        self.ask(0, "verify", "--no-progress", "--source", "--report", self.file("mismatches.txt"))
        self.ask(0, "db snapshot", self.file("copy.db"))
        self.ask(4, "db snapshot", self.file("copy.db"))
        self.ask(0, "export", "plan", self.file("plan.csv"))
        self.ask(0, "waive", self.records[0], "--reason", "none")
        self.ask(3, "waive", make_id("a0X", 1), "--reason", "none")
        self.ask(0, "waive", self.records[0], "--undo", "--reason", "found")
        self.ask(6, "report", self.file("board.html"))
        self.ask(0, "audit")
        keys = list(corner.held())
        remove(corner, corner.bucket, next(key for key in keys if not key.startswith(".engine")))
        self.ask(6, "verify", "--no-progress")
        self.ask(3, "run backup", "--incremental", "--no-progress")

    def links(self) -> None:
        corner = self.corner
        self.ask(0, "run switch")
        self.ask(5, "run switch", *EXECUTE, *SOON)
        self.ask(0, "run switch", *EXECUTE)
        self.ask(4, "doctor", "--for", "switch")
        self.ask(0, "audit")
        self.ask(0, "audit", "--record", self.records[1])
        self.ask(6, "sweep", "--object", "DocListEntry__c")
        self.ask(0, "sweep", "--object", "Account", "--watch", "--once")
        lose_the_database(corner)
        tip_path(corner.database).unlink()
        self.ask(0, "db rebuild", "--from-bucket")
        self.ask(3, "run backup", "--full", "--no-progress")
        self.ask(0, "run rollback", "--from-database")

    def the_end(self) -> None:
        corner = self.corner
        corner.edit(self.records[:1], Document__c="https://elsewhere.example/edited.pdf")
        self.ask(0, "run rollback", "--from-database", *EXECUTE)
        self.ask(0, "status", "--all")
        tip_path(corner.database).write_text("{}")
        self.ask(6, "audit", "--no-bucket")
        self.ask(6, "run rollback", "--from-database", *EXECUTE)
