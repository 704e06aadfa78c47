"""The plan of a switch as a file: written once, approved by people, applied exactly.

NDJSON: a header, a line per link in the order in which they will move, and a trailer with the count and the SHA-256 of
every byte before it. A file in which a single byte has changed is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from engine.limiting.private_files import DISK, Files
from engine.model.change import Link
from engine.model.command import Command
from engine.model.copy import ProvedCopy
from engine.model.errors import Blocked, Differs, Usage
from engine.model.hosts import store_at
from engine.pipeline.switching import WINDOW
from engine.salesforce.shape import Organization
from engine.settings import DestinationSettings
from engine.tracking.db.files import unwritable

WhyNot = Callable[[dict[str, Any]], str]
_TRAILER = 4096
"""Longest trailer, in bytes."""


@dataclass(frozen=True, slots=True)
class Home:
    """What a plan hangs on: the org and field, where links lead, and the tracking DB that it was made from."""

    organization: Organization
    object_and_field: tuple[str, str]
    ours: DestinationSettings
    database: Path
    begun: str
    """When the DB's first run began. That tells two DBs apart, wherever they lie."""

    def header(self) -> dict[str, Any]:
        """What a plan says of it."""
        return {
            "org": self.organization.id,
            "org_name": self.organization.name,
            "settings": self._hash(),
            "destination": self._destination(),
            "database": str(self.database),
            "database_begun": self.begun,
        }

    def why_not(self, header: dict[str, Any]) -> str:
        """Why a plan with this header belongs elsewhere; empty: it belongs here."""
        organization, begun = self.organization, header.get("database_begun")
        if (org := header.get("org")) != organization.id:
            name = f"{header.get('org_name') or 'an org'} ({org})"
            return (
                f"it was made for {name}, and this login leads to {organization.name or 'an org'} ({organization.id})"
            )
        theirs, here = f"{header.get('object')}.{header.get('field')}", ".".join(self.object_and_field)
        if theirs.lower() != here.lower():
            return f"it was made for {theirs}, and the settings say {here}"
        if begun is not None and begun != self.begun:
            return f"it was made from another tracking DB, {header.get('database')}, and this one is {self.database}"
        if header.get("settings") == self._hash():
            return ""
        then = header.get("destination") or {}
        told = [
            f"destination.{name} was {then[name]}, and is {now}"
            for name, now in self._destination().items()
            if then.get(name, now) != now
        ]
        why = f": {', '.join(told)}" if told else ""
        return f"it was made for another org, field or destination than these settings name{why}"

    def _destination(self) -> dict[str, Any]:
        ours = self.ours
        store = ours.endpoint_url and store_at(ours.endpoint_url)
        return {
            "bucket": ours.bucket,
            "endpoint_url": store,
            "region": ours.region,
            "url_template": ours.url_template,
        }

    def _hash(self) -> str:
        facts = [self.organization.id, *self.object_and_field, *self._destination().values()]
        return hashlib.sha256(orjson.dumps(facts)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Written:
    """A plan that lies in a file."""

    path: Path
    count: int
    sha256: str


class PlanWriter:
    """A plan being written; the name appears only when it is whole, and is read-only."""

    def __init__(self, path: Path, header: dict[str, Any], files: Files = DISK) -> None:
        """Raises Blocked where the file exists, or cannot be written."""
        self._path = path
        self._partial = Path(f"{path}.partial")
        self._files = files
        self._digest, self._count, self._end = hashlib.sha256(), 0, 0
        if path.exists():
            raise _taken(path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.remove(self._partial)
            self._file = files.create(self._partial, 0o400)
        except OSError as error:
            raise unwritable(path, error) from error
        self._write(orjson.dumps({"engine_plan": 1, **header}) + b"\n")

    def add(self, links: Sequence[Link]) -> None:
        """The next lines."""
        self._write(b"".join(orjson.dumps(_line(link)) + b"\n" for link in links))
        self._count += len(links)

    def finish(self) -> Written:
        """Durable under its name when this returns."""
        sha256 = self._digest.hexdigest()
        try:
            try:
                self._file.write(orjson.dumps({"end": True, "count": self._count, "sha256": sha256}) + b"\n", self._end)
                self._file.sync()
            finally:
                self._file.close()
            self._files.link(self._partial, self._path)
            self._files.sync_folder(self._path.parent)
        except FileExistsError:
            raise _taken(self._path) from None
        except OSError as error:
            raise unwritable(self._path, error) from error
        finally:
            with suppress(OSError):  # the next plan of this name removes it
                self._files.remove(self._partial)
        return Written(self._path, self._count, sha256)

    def _write(self, block: bytes) -> None:
        self._digest.update(block)
        try:
            self._file.write(block, self._end)
            self._end += len(block)
        except OSError as error:
            raise unwritable(self._path, error) from error


def _taken(path: Path) -> Blocked:
    return Blocked(f"{path} exists already; a plan is never overwritten", hint="name another file with --plan")


class PlanFile:
    """A plan that was checked from its first byte to its last. ``why_not``: says why a plan with such a header does not
    belong here; ``url_of``: the link that the settings make of a key."""

    def __init__(self, path: Path, file: IO[bytes], why_not: WhyNot, url_of: Callable[[str], str]) -> None:
        self.path = path
        self._file = file
        self._url_of = url_of
        self.header: dict[str, Any] = {}
        self.count = 0
        self.sha256 = ""
        self._windows: list[tuple[int, bytes]] = []
        """Where each WINDOW of lines begins, and the SHA-256 of its bytes: held against them once more when read."""
        self._check(why_not)

    def window(self, start: int, stop: int) -> list[Link]:
        """Lines ``start`` to ``stop``, at most WINDOW of them. Raises Differs where they changed after the check."""
        found: list[Link] = []
        for number in range(start // WINDOW, (stop - 1) // WINDOW + 1):
            offset, digest = self._windows[number]
            self._file.seek(offset)
            lines = [self._file.readline() for _ in range(min(WINDOW, self.count - number * WINDOW))]
            if hashlib.sha256(b"".join(lines)).digest() != digest:
                raise self._changed("it changed while it was being applied")
            first = max(0, start - number * WINDOW)
            found += [_link(orjson.loads(line)) for line in lines[first : stop - number * WINDOW]]
        return found

    def _check(self, why_not: WhyNot) -> None:
        whole = hashlib.sha256()
        try:
            head = self._file.readline(1 << 20)
            self.header = orjson.loads(head)
            if self.header.get("engine_plan") != 1:
                raise self._changed("it is no plan of this engine")
            if why := why_not(self.header):
                raise self._changed(why)
            whole.update(head)
            trailer = self._lines(whole)
            count, sha256 = int(trailer["count"]), str(trailer["sha256"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._changed("it cannot be read") from error
        if self._file.read(1):
            raise self._changed("it goes on behind its end")
        if count != self.count or sha256 != whole.hexdigest():
            raise self._changed("its bytes do not fit the sum in its last line")
        self.sha256 = sha256

    def _lines(self, whole: Any) -> dict[str, Any]:
        offset, part = self._file.tell(), hashlib.sha256()
        while True:
            line = self._file.readline()
            if line[:11] == b'{"end":true' and len(line) < _TRAILER and line[-1:] == b"\n":
                break
            if not line:
                raise self._changed("its last line is missing")
            link = _link(orjson.loads(line))
            if link.new != self._url_of(link.copy.key):
                raise self._changed(f"its link for {link.id} is not what destination.url_template makes of the key")
            whole.update(line)
            part.update(line)
            self.count += 1
            if self.count % WINDOW == 0:
                self._windows.append((offset, part.digest()))
                offset, part = self._file.tell(), hashlib.sha256()
        if self.count % WINDOW:
            self._windows.append((offset, part.digest()))
        trailer: dict[str, Any] = orjson.loads(line)
        return trailer

    def _changed(self, why: str) -> Differs:
        return Differs(
            f"the plan {self.path} is refused: {why}",
            hint=("nothing was written to Salesforce. Make a new plan: ", Command("run switch --dry-run")),
        )


@contextmanager
def open_plan(path: Path, why_not: WhyNot, url_of: Callable[[str], str]) -> Iterator[PlanFile]:
    """Check and hold a plan file. Raises Usage where there is none, Differs where it is not as it was written."""
    try:
        file = path.open("rb")
    except OSError as error:
        hint = (Command("run switch --dry-run"), "   makes one")
        raise Usage(f"--plan {path} cannot be read: {error.strerror}", hint=hint) from error
    with file:
        yield PlanFile(path, file, why_not, url_of)


def _line(link: Link) -> dict[str, Any]:
    record, account, old, new, (key, size, etag, checksum, proof) = link
    return {
        "id": record,
        "account": account,
        "old": old,
        "new": new,
        "proof": proof,
        "key": key,
        "size": size,
        "etag": etag,
        "checksum": checksum,
    }


def _link(line: dict[str, Any]) -> Link:
    return Link(
        line["id"],
        line["account"],
        line["old"],
        line["new"],
        ProvedCopy(line["key"], line["size"], line["etag"], line["checksum"], line["proof"]),
    )
