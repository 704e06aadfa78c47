"""The rollback file: every link that a switch set out to change, with what it was, sealed line by line.

It is written before each change is sent, and is all that a rollback needs when the tracking DB is lost: the file, and
the journal's key. NDJSON: a header, a mark, a line per intent, and a trailer once the run has ended by itself. Each
line ends with a seal over the line and the seal before, so that nothing can be changed, swapped, dropped or slipped in.

The mark says how many lines there are so far. It is the one line that is written over, in place and in one page, each
time behind the lines that it counts: so a file whose run was killed is told from one that was cut short.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from engine.limiting.group_commit import GroupCommit
from engine.model.change import Event, Step
from engine.model.command import Command
from engine.model.errors import Blocked, Differs, Fatal, Usage
from engine.runs.journal.evidence import store
from engine.runs.journal.tips import PREFIX
from engine.runs.shared.assembly import Services
from engine.settings import Settings
from engine.tracking.db.chain import Key, sync_directory
from engine.tracking.db.files import unusable
from engine.tracking.read.switchable import Undoable
from engine.tracking.write.journal import Journal

_START = "rollback file"
_FORM = 2


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
        self._together = GroupCommit(self._write_lines)
        self._end = 0
        """Of what stands; bytes behind it are of a write that failed."""
        self.records = 0
        content = orjson.dumps({"engine_rollback": _FORM, "journal": key.fingerprint, **header})
        self._seal = self._header = key.seal(_START, content)
        first = _sealed(content, self._header)
        self._mark_at = len(first)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            self._write(first + self._mark())
            sync_directory(path)
        except OSError as error:
            raise unusable(path, error) from error

    async def add(self, steps: Sequence[Step]) -> None:
        """Durable when it returns. Raises Fatal; then it counts none of them."""
        lines = [
            {"id": step.id, "old": step.old, "new": step.new, "wave": step.wave}
            for step in steps
            if step.event is Event.INTENDED
        ]
        if lines:
            await self._together.add(lines)

    async def flush(self) -> None:
        """Wait until nothing is being written: before the end, where whoever added was cancelled."""
        await self._together.flush()

    async def _write_lines(self, lines: list[dict[str, Any]]) -> None:
        await asyncio.to_thread(self._guarded, lines)

    def end(self, at: str) -> None:
        """Close it with its trailer."""
        try:
            self._guarded([{"end": True, "records": self.records, "at": at}])
        finally:
            os.close(self._file)

    def _guarded(self, lines: list[dict[str, Any]]) -> None:
        block, seal = bytearray(), self._seal
        for line in lines:
            content = orjson.dumps(line)
            seal = self._key.seal(seal, content)
            block += _sealed(content, seal)
        try:
            self._write(block)
            self._seal = seal
            if "end" not in lines[-1]:
                self.records += len(lines)
                # its lines are on the disk by now; itself it gets there with the next ones, or with the end
                _put(self._file, self._mark(), self._mark_at)
        except OSError as error:
            told = unusable(self.path, error)
            raise Fatal(str(told), hint=told.hint) from error

    def _write(self, block: bytes | bytearray) -> None:
        """Durable when it returns; when it fails, the next write goes over what is left of this one."""
        os.ftruncate(self._file, self._end)
        _put(self._file, block, self._end)
        os.fsync(self._file)
        self._end += len(block)

    def _mark(self) -> bytes:
        """Always as long as the one that it is written over."""
        content = orjson.dumps({"so_far": f"{self.records:012d}", "last": self._seal})
        return _sealed(content, self._key.seal(self._header, content))


def _put(file: int, block: bytes | bytearray, at: int) -> None:
    left = memoryview(block)
    while left:
        done = os.pwrite(file, left, at)
        left, at = left[done:], at + done


def _sealed(content: bytes, seal: str) -> bytes:
    return content[:-1] + b',"seal":"' + seal.encode() + b'"}\n'


def begun(settings: Settings, key: Key, run_id: int, org_id: str, plan_sha256: str, at: str) -> RollbackFile:
    """The file of a switch that is about to start. Raises Blocked."""
    asked = settings.salesforce
    header = {
        "run": run_id,
        "at": at,
        "org": org_id,
        "object": asked.object,
        "field": asked.url_field,
        "plan_sha256": plan_sha256,
    }
    return RollbackFile(free(settings.tracking.database, f"rollback-{run_id}"), key, header)


async def keep_in_bucket(services: Services, file: RollbackFile, key: Key) -> str:
    """Put it into the destination bucket too; where it is, or why not."""
    name = f"{PREFIX}rollback/{key.fingerprint}/{file.path.name}"
    if why := await store(services, name, file.path.read_bytes()):
        return f"the rollback file could not be put into the bucket: {why}; copy {file.path} elsewhere by hand"
    return f"the rollback file is also at s3://{services.settings.destination.bucket}/{name}"


class Recorded:
    """A journal that also keeps a rollback file."""

    def __init__(self, journal: Journal, file: RollbackFile) -> None:
        self._journal = journal
        self._file = file

    async def append(self, steps: Sequence[Step]) -> None:
        try:
            await self._file.add(steps)
        except (Fatal, asyncio.CancelledError):
            # the outcomes among them stand, though the rest is not announced any more
            await self._journal.append([step for step in steps if step.event is not Event.INTENDED])
            raise
        await self._journal.append(steps)

    async def flush(self) -> None:
        """Wait until nothing is being written."""
        await self._file.flush()
        await self._journal.flush()


@dataclass(slots=True)
class Restorable:
    """What a rollback file holds: the latest intent of each record."""

    header: dict[str, Any]
    changes: list[Undoable] = field(default_factory=list)
    complete: bool = False
    """Nothing was cut off its end."""
    ended: bool = False
    """Its run ended by itself; otherwise it was killed, or this is a copy made while it ran."""


def read_rollback_file(path: Path, key: Key) -> Restorable:
    """Check every seal. Raises Usage where there is no file, Differs at the first line that does not fit."""
    intents = 0
    found: dict[str, Undoable] = {}
    try:
        with path.open("rb") as file:
            header, begin = _opened(path, file.readline(), 1, _START, key)
            if header.get("engine_rollback") != _FORM:
                raise _unfit(path, 1, "it is no rollback file")
            mark, _ = _opened(path, file.readline(), 2, begin, key)
            if "so_far" not in mark:
                raise _unfit(path, 2, "its mark is missing")
            read, marked, seal = Restorable(header), int(mark["so_far"]), begin
            if not marked and mark["last"] != begin:
                raise _unfit(path, 2, "it was changed")
            for number, line in enumerate(file, start=3):
                if not line.endswith(b"\n"):
                    break  # torn when the machine went down; its change was never sent
                content, seal = _opened(path, line, number, seal, key)
                if read.ended:
                    raise _unfit(path, number, "it goes on behind its end")
                if "end" in content:
                    read.ended = True
                    continue
                if "id" not in content:
                    raise _unfit(path, number, "it was changed")
                change = Undoable(content["id"], "", content["old"], content["new"], content["wave"])
                found[change.id] = change
                intents += 1
                if intents == marked and seal != mark["last"]:
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
    read.changes = list(found.values())
    return read


def _opened(path: Path, line: bytes, number: int, before: str, key: Key) -> tuple[dict[str, Any], str]:
    body, _, tail = line.rpartition(b',"seal":"')
    seal = tail.removesuffix(b'"}\n')
    expected = key.seal(before, body + b"}")
    if not hmac.compare_digest(seal, expected.encode()):
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
