"""The rollback file: every link that a switch set out to change, and what the org made of it, with its original.

Each line is written before its change is sent. With the file and the journal's key a rollback works although the
tracking DB is lost. NDJSON: a header, a mark, a line per intended change, and a trailer once the run has ended by
itself. Each line ends with an HMAC over the line and the HMAC before (named ``seal``), so that no line can be changed,
swapped, dropped or slipped in.

The mark says how many lines there are so far, and where their HMACs begin. It alone is written over, in place and
within one sector of the disk, each time after the lines that it counts. By it the file of a run that was killed differs
from one that was cut short. How it is read: ``rollback_lines.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from engine.limiting.group_commit import GroupCommit
from engine.limiting.private_files import DISK, Files
from engine.model.change import OURS, Event, Step
from engine.model.errors import Blocked, EngineError, Fatal
from engine.model.facts import Occupied
from engine.runs.journal.own_objects import NDJSON, PREFIX, put_stream
from engine.runs.links.rollback_lines import START, VERSION, sealed
from engine.runs.shared.assembly import Services
from engine.s3.transfer.blocks import OnDisk
from engine.tracking.db.chain import Key
from engine.tracking.db.files import unusable
from engine.tracking.write.journal import Journal

_NAMES = 9
"""Tried in the bucket."""
_SECTOR = 512
"""Bytes that a disk writes as a whole. The header fills one or more of its own."""


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
        facts = {"engine_rollback": VERSION, "journal": key.fingerprint, **header}
        short = self._first({**facts, "pad": ""})
        first = self._first({**facts, "pad": " " * (-len(short) % _SECTOR)})
        self._mark_at = len(first)
        try:
            self._file = files.create(path)
        except OSError as error:
            raise unusable(path, error) from error
        try:
            self._write(first + self._mark())
            files.sync_folder(path.parent)
        except OSError as error:
            with suppress(OSError):  # nobody shall take it for one that says something
                files.remove(path)
            raise unusable(path, error) from error

    def _first(self, facts: dict[str, Any]) -> bytes:
        content = orjson.dumps(facts)
        self._hmac = self._header = self._key.hmac(START, content)
        return sealed(content, self._header)

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
            block += sealed(content, mac)
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
        content = orjson.dumps({"so_far": f"{self.records:012d}", "last": self._hmac, "head": self._header})
        return sealed(content, self._key.hmac(self._header, content))


def begun(database: Path, key: Key, header: dict[str, Any], files: Files = DISK) -> RollbackFile:
    """The file of a switch that is about to start. Raises Blocked."""
    return RollbackFile(free(database, f"rollback-{header['run']}"), key, header, files)


async def keep_in_bucket(services: Services, file: RollbackFile, key: Key) -> str:
    """Put the file into the destination bucket too. Says where it is, or why it is not there."""
    folder, path = f"{PREFIX}rollback/{key.fingerprint}/", file.path
    why = f"{folder}{path.name} and all names like it are taken by something else"
    for number in range(1, _NAMES + 1):  # runs are counted anew after a DB was lost
        name = folder + (f"{path.stem}-{number}{path.suffix}" if number > 1 else path.name)
        try:
            await put_stream(services, name, partial(OnDisk, path, NDJSON))
        except Occupied:
            continue
        except (EngineError, OSError) as error:
            why = str(error)
            break
        return f"the rollback file is also at s3://{services.ours.bucket}/{name}"
    return f"the rollback file could not be put into the bucket: {why}; copy {path} elsewhere by hand"


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
