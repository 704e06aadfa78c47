"""A rollback file, read line by line. Each line is checked, and none stays in memory.

What a crash has torn is told from what was changed: a torn line is no whole JSON line any more. Behind a torn first
line the others still prove each other, from where the mark says that they begin. But of which org, object, field and
run the file is, nobody knows then. Where the mark is gone too, the first link has nothing that proves it: it is left
out, and only its HMAC serves to check the next one.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from engine.model.command import Command
from engine.model.errors import Differs, Usage
from engine.tracking.db.chain import Key
from engine.tracking.read.restorable import Line

START = "rollback file"
"""What the HMAC of the first line covers before it."""
VERSION = 2
_SEAL = b',"seal":"'
_MARK = b'{"so_far":'
_OTHER_KEY = "it was written with another key, or changed"


def sealed(content: bytes, mac: str) -> bytes:
    """A line: its JSON with its HMAC."""
    return content[:-1] + _SEAL + mac.encode() + b'"}\n'


@dataclass(frozen=True, slots=True)
class Restorable:
    """Links to be put back that do not come from the tracking DB's journal; ``lay_out`` has taken them in."""

    header: dict[str, Any]
    """Where they are from."""
    narrowed: bool = False
    """To the run and the time that are wanted."""


class _Parsed(NamedTuple):
    body: bytes
    content: dict[str, Any]
    seal: str


class RollbackLines:
    """To be iterated once. What it says of the file holds afterwards."""

    def __init__(self, path: Path, key: Key) -> None:
        self.path = path
        self._key = key
        self.header: dict[str, Any] = {}
        """Empty: the first line is torn."""
        self.links = 0
        self.unproved = 0
        """Links that were left out, since nothing proves them."""
        self.complete = False
        """Nothing was cut off its end."""
        self.ended = False
        """Its run ended by itself; otherwise it was killed, or this is a copy made while it ran."""

    def __iter__(self) -> Iterator[Line]:
        """Every link as it was set out to be changed. Raises Usage where there is no file, Differs at the first line
        that does not fit."""
        try:
            with self.path.open("rb") as file:
                yield from self._lines(file)
        except OSError as error:
            raise Usage(
                f"--rollback-file {self.path} cannot be read: {error.strerror}",
                hint=(
                    "every switch leaves one beside its tracking DB, such as ",
                    "migration_tracking.db.rollback-12.ndjson; with the DB at hand: ",
                    Command("run rollback --from-database"),
                ),
            ) from error

    def _lines(self, file: IO[bytes]) -> Iterator[Line]:
        first = file.readline()
        begin = self._first(first)
        swallowed = first.find(_MARK) if begin is None else -1  # the end of the first line is torn too
        line, number = (first[swallowed:], 1) if swallowed >= 0 else (file.readline(), 2)
        mark = self._mark(line, begin)
        if mark or parsed(line) is None:
            line, number = file.readline(), number + 1
        mac = begin or mark.get("head")
        marked, last = int(mark.get("so_far", -1)), mark.get("last")
        if marked == 0 and last != mac:
            raise self._unfit(2, "it was changed")
        while line.endswith(b"\n"):  # one that is torn is the last, and its change was never sent
            content, mac = self._opened(line, number, mac)
            if self.ended:
                raise self._unfit(number, "it goes on behind its end")
            if "end" in content:
                self.ended = True
            elif "id" in content:
                self.links += 1
                if self.links == marked and mac != last:
                    raise self._unfit(number, "it was changed")
                yield Line(content["id"], content["old"], content["new"], content["wave"])
            elif content:
                raise self._unfit(number, "it was changed")
            line, number = file.readline(), number + 1
        if not (self.header or mark or self.links or self.unproved):
            raise self._unfit(1, "it is no rollback file, or nothing but its torn first line is left of it")
        self.complete = self.ended or 0 <= marked <= self.links

    def _first(self, line: bytes) -> str | None:
        """The HMAC of the first line; None: it is torn."""
        if not line:
            raise self._unfit(1, "it is empty")
        if (read := parsed(line)) is None:
            return None
        if not hmac.compare_digest(read.seal, self._key.hmac(START, read.body)):
            raise self._unfit(1, _OTHER_KEY)
        if read.content.get("engine_rollback") != VERSION:
            raise self._unfit(1, "it is no rollback file")
        self.header = read.content
        return read.seal

    def _mark(self, line: bytes, begin: str | None) -> dict[str, Any]:
        """The mark; empty: it is torn, or lost together with the first line."""
        if (read := parsed(line)) is None:
            return {}
        if "so_far" not in read.content:
            if begin is None:
                return {}
            raise self._unfit(2, "its mark is missing")
        before = begin or str(read.content.get("head"))
        if not hmac.compare_digest(read.seal, self._key.hmac(before, read.body)):
            raise self._unfit(2, "it was changed" if begin else _OTHER_KEY)
        return read.content

    def _opened(self, line: bytes, number: int, before: str | None) -> tuple[dict[str, Any], str | None]:
        """What a line holds, and its HMAC. Nothing, where no line before it proves it."""
        if before is None:
            read = parsed(line)
            self.unproved += read is not None
            return {}, read and read.seal
        body, _, tail = line.rpartition(_SEAL)
        expected = self._key.hmac(before, body + b"}")
        if not hmac.compare_digest(tail.removesuffix(b'"}\n'), expected.encode()):
            raise self._unfit(number, "it was changed" if self.header else _OTHER_KEY)
        content: dict[str, Any] = orjson.loads(body + b"}")
        return content, expected

    def _unfit(self, number: int, why: str) -> Differs:
        return Differs(
            f"the rollback file {self.path} is refused at line {number}: {why}",
            hint=(
                "nothing was written to Salesforce. Use the untouched file, with the journal's key that belongs to it ",
                "(switch.journal_key_file), or the tracking DB: ",
                Command("run rollback --from-database"),
            ),
        )


def parsed(line: bytes) -> _Parsed | None:
    """A whole line; None: it is torn."""
    body, found, tail = line.rpartition(_SEAL)
    if not found or not tail.endswith(b'"}\n'):
        return None
    try:
        content = orjson.loads(body + b"}")
        seal = tail.removesuffix(b'"}\n').decode("ascii")
    except ValueError:
        return None
    return _Parsed(body + b"}", content, seal) if isinstance(content, dict) else None
