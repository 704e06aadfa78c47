"""The rollback file: every link that a switch set out to change, and what the org made of it, with its original.

Each line is written before its change is sent. With the file and the journal's key a rollback works although the
tracking DB is lost. NDJSON: a header, a mark, a line per intended change, and a trailer once the run has ended by
itself. Each line ends with an HMAC over the line and the HMAC before (named ``seal``), so that no line can be changed,
swapped, dropped or slipped in.

The mark says how many lines there are so far. It alone is written over, in place and within one page, each time after
the lines that it counts. By it the file of a run that was killed differs from one that was cut short.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from engine.limiting.group_commit import GroupCommit
from engine.limiting.private_files import DISK, Files
from engine.model.change import OURS, Event, Step
from engine.model.command import Command
from engine.model.errors import Blocked, Differs, Fatal, Usage
from engine.runs.journal.own_objects import PREFIX, store
from engine.runs.shared.assembly import Services
from engine.tracking.db.chain import Key
from engine.tracking.db.files import unusable
from engine.tracking.read.switchable import Undoable, Value
from engine.tracking.write.journal import Journal

_START = "rollback file"
_VERSION = 2


def free(database: Path, name: str) -> Path:
    """A free name beside the DB. Run numbers begin anew after a DB was lost, and no file is ever overwritten."""
    for number in range(1, 10_000):
        more = f"-{number}" if number > 1 else ""
        path = Path(f"{database}.{name}{more}.ndjson")
        if not path.exists():
            return path
    raise Blocked(f"{database}.{name}.ndjson and all names like it are taken", hint="move the old ones away")


class RollbackFile:
    """Being written."""

    def __init__(self, path: Path, key: Key, header: dict[str, Any], files: Files = DISK) -> None:
        """Raises Blocked where it cannot be written."""
        self.path = path
        self._key = key
        self._commits = GroupCommit(self._write_lines)
        self._end = 0
        """Of the good bytes; those behind it are of a write that failed."""
        self.records = 0
        content = orjson.dumps({"engine_rollback": _VERSION, "journal": key.fingerprint, **header})
        self._hmac = self._header = key.hmac(_START, content)
        first = _with_hmac(content, self._header)
        self._mark_at = len(first)
        try:
            self._file = files.create(path)
            self._write(first + self._mark())
            files.sync_folder(path.parent)
        except OSError as error:
            raise unusable(path, error) from error

    async def add(self, steps: Sequence[Step]) -> None:
        """Durable when it returns. Raises Fatal; then none of them count."""
        lines = [
            {"id": step.id, "old": step.old, "new": step.new, "wave": step.wave} for step in steps if step.event in OURS
        ]
        if lines:
            await self._commits.add(lines)

    async def flush(self) -> None:
        """Wait until nothing is being written. Comes before ``end`` where an ``add`` was cancelled."""
        await self._commits.flush()

    async def _write_lines(self, lines: list[dict[str, Any]]) -> None:
        await asyncio.to_thread(self._guarded, lines)

    def end(self, at: str) -> None:
        """Close it with its trailer."""
        try:
            self._guarded([{"end": True, "records": self.records, "at": at}])
        finally:
            self._file.close()

    def _guarded(self, lines: list[dict[str, Any]]) -> None:
        block, mac = bytearray(), self._hmac
        for line in lines:
            content = orjson.dumps(line)
            mac = self._key.hmac(mac, content)
            block += _with_hmac(content, mac)
        try:
            self._write(block)
            self._hmac = mac
            if "end" not in lines[-1]:
                self.records += len(lines)
                # its lines are on the disk by now; the mark gets there with the next ones, or with the end
                self._file.write(self._mark(), self._mark_at)
        except OSError as error:
            why = unusable(self.path, error)
            raise Fatal(str(why), hint=why.hint) from error

    def _write(self, block: bytes | bytearray) -> None:
        """Durable when it returns. Where it fails, the next write goes over what is left of this one."""
        self._file.truncate(self._end)
        self._file.write(block, self._end)
        self._file.sync()
        self._end += len(block)

    def _mark(self) -> bytes:
        """Always as long as the one that it is written over."""
        content = orjson.dumps({"so_far": f"{self.records:012d}", "last": self._hmac})
        return _with_hmac(content, self._key.hmac(self._header, content))


def _with_hmac(content: bytes, mac: str) -> bytes:
    return content[:-1] + b',"seal":"' + mac.encode() + b'"}\n'


def begun(database: Path, key: Key, header: dict[str, Any], files: Files = DISK) -> RollbackFile:
    """The file of a switch that is about to start. Raises Blocked."""
    return RollbackFile(free(database, f"rollback-{header['run']}"), key, header, files)


async def keep_in_bucket(services: Services, file: RollbackFile, key: Key) -> str:
    """Put the file into the destination bucket too. Says where it is, or why it is not there."""
    name = f"{PREFIX}rollback/{key.fingerprint}/{file.path.name}"
    if why := await store(services, name, file.path.read_bytes()):
        return f"the rollback file could not be put into the bucket: {why}; copy {file.path} elsewhere by hand"
    return f"the rollback file is also at s3://{services.ours.bucket}/{name}"


class JournalWithFile:
    """A journal, and the rollback file that is written before it."""

    def __init__(self, journal: Journal, file: RollbackFile) -> None:
        self._journal = journal
        self._file = file

    async def append(self, steps: Sequence[Step]) -> None:
        try:
            await self._file.add(steps)
        except (Fatal, asyncio.CancelledError):
            # what has ended among them is true, although nothing more is announced
            await self._journal.append([step for step in steps if step.event is not Event.INTENDED])
            raise
        await self._journal.append(steps)

    async def flush(self) -> None:
        """Wait until nothing is being written."""
        await self._file.flush()
        await self._journal.flush()


@dataclass(slots=True)
class Restorable:
    """What a rollback file holds of each record: the values of ours, and what they have replaced."""

    header: dict[str, Any]
    changes: list[Undoable] = field(default_factory=list)
    complete: bool = False
    """Nothing was cut off its end."""
    ended: bool = False
    """Its run ended by itself; otherwise it was killed, or this is a copy made while it ran."""
    narrowed: bool = False
    """To the run and the time that are wanted."""


def read_rollback_file(path: Path, key: Key) -> Restorable:
    """Check every line. Raises Usage where there is no file, Differs at the first line that does not fit."""
    intents = 0
    found: dict[str, dict[str, Value]] = {}
    try:
        with path.open("rb") as file:
            header, begin = _opened(path, file.readline(), 1, _START, key)
            if header.get("engine_rollback") != _VERSION:
                raise _unfit(path, 1, "it is no rollback file")
            mark, _ = _opened(path, file.readline(), 2, begin, key)
            if "so_far" not in mark:
                raise _unfit(path, 2, "its mark is missing")
            read, marked, mac = Restorable(header), int(mark["so_far"]), begin
            if not marked and mark["last"] != begin:
                raise _unfit(path, 2, "it was changed")
            for number, line in enumerate(file, start=3):
                if not line.endswith(b"\n"):
                    break  # torn when the machine went down; its change was never sent
                content, mac = _opened(path, line, number, mac, key)
                if read.ended:
                    raise _unfit(path, number, "it goes on behind its end")
                if "end" in content:
                    read.ended = True
                    continue
                if "id" not in content:
                    raise _unfit(path, number, "it was changed")
                values = found.setdefault(content["id"], {})
                values.pop(content["new"], None)
                values[content["new"]] = Value(content["old"], content["new"], content["wave"])
                intents += 1
                if intents == marked and mac != mark["last"]:
                    raise _unfit(path, number, "it was changed")
    except OSError as error:
        raise Usage(
            f"--rollback-file {path} cannot be read: {error.strerror}",
            hint=(
                "every switch leaves one beside its tracking DB, such as migration_tracking.db.rollback-12.ndjson; ",
                "with the DB at hand: ",
                Command("run rollback --from-database"),
            ),
        ) from error
    read.complete = read.ended or intents >= marked
    read.changes = [Undoable(record, "", [*values.values()][::-1]) for record, values in found.items()]
    return read


def _opened(path: Path, line: bytes, number: int, before: str, key: Key) -> tuple[dict[str, Any], str]:
    body, _, tail = line.rpartition(b',"seal":"')
    expected = key.hmac(before, body + b"}")
    if not hmac.compare_digest(tail.removesuffix(b'"}\n'), expected.encode()):
        why = "it was written with another key, or changed" if number == 1 else "it was changed"
        raise _unfit(path, number, why if line else "it is empty" if number == 1 else "it was cut off")
    content: dict[str, Any] = orjson.loads(body + b"}")
    return content, expected


def _unfit(path: Path, number: int, why: str) -> Differs:
    return Differs(
        f"the rollback file {path} is refused at line {number}: {why}",
        hint=(
            "nothing was written to Salesforce. Use the untouched file, with the journal's key that belongs to it ",
            "(switch.journal_key_file), or the tracking DB: ",
            Command("run rollback --from-database"),
        ),
    )
