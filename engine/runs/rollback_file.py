"""The rollback file: every link that a switch set out to change, with what it was, sealed line by line.

It is written before each change is sent, and is all that a rollback needs when the tracking DB is lost: the file, and
the journal's key. NDJSON: a header, a line per intent, and a trailer once the run has ended by itself. Each line ends
with a seal over the line and the seal before, so that nothing can be changed, swapped, dropped or slipped in.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from engine.model.change import Event, Step
from engine.model.errors import Blocked, Differs, Fatal, Usage
from engine.tracking.chain import Key, sync_directory
from engine.tracking.files import unwritable
from engine.tracking.journal import Journal
from engine.tracking.switchable import Undoable

_START = "rollback file"


def rollback_path(database: Path, run_id: int) -> Path:
    """Where a run's file is to lie."""
    return free(database, f"rollback-{run_id}")


def free(database: Path, name: str) -> Path:
    """A name beside the DB that is not taken: after a lost DB run numbers begin anew, and no file is overwritten."""
    for more in ("", *(f"-{number}" for number in range(2, 10_000))):
        path = Path(f"{database}.{name}{more}.ndjson")
        if not path.exists():
            return path
    raise Blocked(f"{database}.{name}.ndjson and all names like it are taken", hint="move the old ones away")


class RollbackFile:
    """Being written."""

    def __init__(self, path: Path, key: Key, header: dict[str, Any]) -> None:
        """Raises Blocked where it cannot be written."""
        self.path = path
        self._key = key
        self._seal = _START
        self._lock = asyncio.Lock()
        self.records = 0
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            self._out: BinaryIO = os.fdopen(handle, "wb")
            self._write([{"engine_rollback": 1, "journal": key.fingerprint, **header}])
            sync_directory(path)
        except OSError as error:
            raise unwritable(path, error) from error

    async def add(self, steps: Sequence[Step]) -> None:
        """Durable when it returns."""
        lines = [
            {"id": step.id, "old": step.old, "new": step.new, "wave": step.wave}
            for step in steps
            if step.event is Event.INTENDED
        ]
        if not lines:
            return
        async with self._lock:
            await asyncio.to_thread(self._guarded, lines)
            self.records += len(lines)

    def end(self, at: str) -> None:
        """Close it with its trailer."""
        self._guarded([{"end": True, "records": self.records, "at": at}])
        self._out.close()

    def close(self) -> None:
        """Without a trailer: the run did not end by itself."""
        self._out.close()

    def _guarded(self, lines: list[dict[str, Any]]) -> None:
        try:
            self._write(lines)
        except OSError as error:
            told = unwritable(self.path, error)
            raise Fatal(str(told), hint=told.hint) from error

    def _write(self, lines: list[dict[str, Any]]) -> None:
        block = bytearray()
        for line in lines:
            content = orjson.dumps(line)
            self._seal = self._key.seal(self._seal, content)
            block += content[:-1] + b',"seal":"' + self._seal.encode() + b'"}\n'
        self._out.write(block)
        self._out.flush()
        os.fsync(self._out.fileno())


class Recorded:
    """A journal that also keeps a rollback file."""

    def __init__(self, journal: Journal, file: RollbackFile) -> None:
        self._journal = journal
        self._file = file

    async def append(self, steps: Sequence[Step]) -> None:
        await self._file.add(steps)
        await self._journal.append(steps)


@dataclass(slots=True)
class Restorable:
    """What a rollback file holds: the latest intent of each record."""

    header: dict[str, Any]
    changes: list[Undoable] = field(default_factory=list)
    complete: bool = False
    """It ends with its trailer."""


def read_rollback_file(path: Path, key: Key) -> Restorable:
    """Check every seal. Raises Usage where there is no file, Differs at the first line that does not fit."""
    seal, number, intents = _START, 0, 0
    found: dict[str, Undoable] = {}
    read: Restorable | None = None
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # torn when the machine went down; its change was never sent
                content, seal = _opened(path, line, number, seal, key)
                if read is None:
                    if content.get("engine_rollback") != 1:
                        raise _unfit(path, number, "it is no rollback file")
                    read = Restorable(content)
                elif read.complete:
                    raise _unfit(path, number, "it goes on behind its end")
                elif "end" in content:
                    read.complete = content["records"] == intents
                else:
                    intents += 1
                    found[content["id"]] = Undoable(content["id"], "", content["old"], content["new"], content["wave"])
    except OSError as error:
        raise Usage(f"--rollback-file {path} cannot be read: {error.strerror}") from error
    if read is None:
        raise _unfit(path, 1, "it is empty")
    read.changes = list(found.values())
    return read


def _opened(path: Path, line: bytes, number: int, before: str, key: Key) -> tuple[dict[str, Any], str]:
    body, _, tail = line.rpartition(b',"seal":"')
    seal = tail.removesuffix(b'"}\n')
    expected = key.seal(before, body + b"}")
    if not hmac.compare_digest(seal, expected.encode()):
        why = "it was written with another key, or changed" if number == 1 else "it was changed"
        raise _unfit(path, number, why)
    content: dict[str, Any] = orjson.loads(body + b"}")
    return content, expected


def _unfit(path: Path, number: int, why: str) -> Differs:
    return Differs(
        f"the rollback file {path} is refused at line {number}: {why}",
        hint="nothing was written to Salesforce. Use the untouched file, with the journal's key that belongs to it "
        "(switch.journal_key_file), or the tracking DB: engine run rollback --from-database",
    )
