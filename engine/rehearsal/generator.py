"""A believable org in miniature: accounts, records and the vendor's files, with what must become of each.

Everything follows from the seed. Objects are described, not made: the store makes their bytes as they are read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from urllib.parse import quote

from engine.rehearsal.names import USELESS_URLS, account_name, filthy_name, plain_name
from engine.rehearsal.salesforce.world import make_id
from engine.rehearsal.side_door import Seeded

VENDOR_BUCKET = "trackland-doc-storage"
VENDOR_HOST = "s3.us-west-2.amazonaws.com"
_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body>Your session has ended.</body></html>"


@dataclass(frozen=True, slots=True)
class Expected:
    """One record and what an honest backup must say of it."""

    id: str
    status: str
    failure: str | None
    source_key: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Cast:
    """The proportions of a story, as shares of all records; the rest are ordinary files."""

    filthy: float = 0.15
    duplicate: float = 0.02
    missing: float = 0.02
    archived: float = 0.01
    html: float = 0.005
    empty: float = 0.005
    large: float = 0.001
    no_url: float = 0.005
    useless: float = 0.01
    no_account: float = 0.005
    mean_bytes: int = 40_000
    large_bytes: int = 6_000_000


@dataclass(slots=True)
class World:
    """What was made: rows to load into the org, objects to load into the vendor's bucket, and the truth."""

    accounts: list[dict[str, str]] = field(default_factory=list)
    records: list[dict[str, str]] = field(default_factory=list)
    objects: list[Seeded] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)


def generate(records: int, *, seed: int = 1, cast: Cast | None = None, first: int = 1) -> World:
    """A world of so many records. ``first`` numbers the first one, so that later arrivals do not collide."""
    return _Maker(random.Random(f"{seed}/{first}"), cast or Cast()).make(records, first)


class _Maker:
    def __init__(self, chance: random.Random, cast: Cast) -> None:
        self._chance = chance
        self._cast = cast
        self._world = World()
        self._shared: list[tuple[str, str, Seeded | None]] = []

    def make(self, count: int, first: int) -> World:
        accounts = max(3, count // 40)
        for number in range(first, first + accounts):
            identity = make_id("001", number)
            self._world.accounts.append({"type": "Account", "Id": identity, "Name": account_name(self._chance, number)})
        for number in range(first, first + count):
            self._record(number)
        return self._world

    def _record(self, number: int) -> None:
        kind = self._kind()
        identity = make_id("a0X", number)
        row = {
            "Id": identity,
            "Name": f"File {number}",
            "Identifier__c": f"doc-{number}",
            "Type_Current__c": "Document",
        }
        if self._chance.random() >= self._cast.no_account:
            # a few accounts hold most of the files
            place = int(len(self._world.accounts) * self._chance.random() ** 2)
            row["Account__c"] = self._world.accounts[place]["Id"]
        match kind:
            case "no_url":
                self._end(row, "", "skipped", "no_url")
            case "useless":
                url, failure = self._chance.choice(USELESS_URLS)
                self._end(row, url, "failed", failure)
            case "duplicate" if self._shared:
                url, key, item = self._chance.choice(self._shared)
                self._end(row, url, "backed_up", None, key, item.size if item else 0)
            case _:
                self._file(row, number, kind)

    def _kind(self) -> str:
        cast, roll = self._cast, self._chance.random()
        for kind in ("duplicate", "missing", "archived", "html", "empty", "large", "no_url", "useless", "filthy"):
            share = getattr(cast, kind)
            if roll < share:
                return kind
            roll -= share
        return "plain"

    def _file(self, row: dict[str, str], number: int, kind: str) -> None:
        name, content_type = (filthy_name if kind == "filthy" else plain_name)(self._chance, number)
        row["Name"] = name[:80]
        folder = row.get("Account__c", "unfiled")[-7:]
        key = f"docs/{folder}/{number}/{name}"
        url = self._url(key)
        if len(url) > 255:
            key = f"docs/{number}.pdf"
            url = self._url(key)
        if kind == "missing":
            self._end(row, url, "failed", "source_missing", key)
            return
        item = self._object(key, kind, content_type)
        self._world.objects.append(item)
        if kind == "archived":
            self._end(row, url, "failed", "archived", key, item.size)
            return
        size = len(item.body) if item.body is not None else item.size
        if kind == "plain" and len(self._shared) < 500:
            self._shared.append((url, key, item))
        self._end(row, url, "backed_up", None, key, size)

    def _object(self, key: str, kind: str, content_type: str) -> Seeded:
        chance = self._chance
        metadata = {"uploaded-by": f"user{chance.randrange(50)}"} if chance.random() < 0.3 else {}
        headers = {"Cache-Control": "max-age=60"} if chance.random() < 0.1 else {}
        match kind:
            case "html":
                return Seeded(key, body=_HTML, content_type="text/html")
            case "empty":
                return Seeded(key, 0, content_type=content_type)
            case "large":
                return Seeded(key, self._cast.large_bytes + chance.randrange(1000), content_type=content_type)
            case "archived":
                size = chance.randrange(1, 50_000)
                return Seeded(key, size, content_type=content_type, storage_class="GLACIER")
        size = min(2_000_000, 1 + int(chance.expovariate(1 / self._cast.mean_bytes)))
        return Seeded(key, size, content_type=content_type, metadata=metadata, headers=headers)

    def _url(self, key: str) -> str:
        """The same object in the forms that were in fashion when its record was made."""
        encoded = quote(key, safe="/")
        roll = self._chance.random()
        if roll < 0.80:
            return f"https://{VENDOR_BUCKET}.{VENDOR_HOST}/{encoded}"
        if roll < 0.90:
            return f"https://{VENDOR_HOST}/{VENDOR_BUCKET}/{encoded}"
        if roll < 0.95:
            return f"https://{VENDOR_BUCKET}.s3-us-west-2.amazonaws.com/{encoded}"
        return f"http://{VENDOR_BUCKET}.s3.amazonaws.com/{encoded}"

    def _end(
        self,
        row: dict[str, str],
        url: str,
        status: str,
        failure: str | None,
        key: str | None = None,
        size: int | None = None,
    ) -> None:
        if url:
            row["Document__c"] = url
        self._world.records.append(row)
        self._world.expected.append(Expected(row["Id"], status, failure, key, size))
