"""A cell of the table: a world with one behaviour, one route and one transport, and the real command in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from engine.rehearsal.content import content_of
from engine.rehearsal.generator import VENDOR_HOST
from engine.rehearsal.side_door import Seeded
from tests.support.corner import Corner, Said, wait
from tests.support.cruel.bodies import PlainWeb
from tests.support.cruel.peer import Behaviour, Peer, peers

Route = Literal["server_copy", "stream", "http", "plain"]
"""``http``: presigned links, which S3 itself answers. ``plain``: a web server that says nothing of its files."""
Transport = Literal["fast", "sdk"]
KB, MB = 1_000, 1_000_000
SIZES = {"0 B": 0, "100 kB": 100 * KB, "one PUT": 2 * MB, "parts": 21 * MB}
"""Streams go by one PUT up to four parts of 5 MiB."""
ORDINARY = 8
LEVELS = (("list", "--source"), ("head", "--source"), ("deep", "--source"), ("deep",))
_SIGNED = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20991231T000000Z&X-Amz-Expires=604800&X-Amz-Signature=0f"


@cache
def sha256(seed: str, size: int) -> str:
    return hashlib.sha256(content_of(seed, size)).hexdigest()


@dataclass
class File:
    """A record and its file at the vendor, whose bytes follow from ``seed`` and ``size``."""

    id: str
    key: str
    seed: str
    size: int
    odd: str = ""
    """The size class it stands for, where it is one of the odd ones."""


@dataclass
class World:
    """A corner whose vendor and whose store stand behind peers. ``files`` are what was made for it."""

    corner: Corner
    route: Route
    transport: Transport
    vendor: Peer
    ours: Peer
    files: list[File] = field(default_factory=list)

    @property
    def bucket(self) -> str:
        """The vendor's, which holds nothing else: listings are short."""
        return f"vendor-{self.corner.tag}"

    @property
    def column(self) -> str:
        return f"{self.route} {self.transport}"

    def make(self, *sizes: str, ordinary: int = ORDINARY, suffix: str = ".pdf", **more: Any) -> None:
        """One odd record for each size class, among ordinary ones."""
        made = [(f"odd-{number}{suffix}", SIZES[size], size) for number, size in enumerate(sizes)]
        made += [(f"plain-{number}{suffix}", 400 + number, "") for number in range(ordinary)]
        rows, objects = [], []
        for name, size, odd in made:
            key = f"files/{name}"
            row = self.corner.row(url=self.url(key))
            rows.append(row)
            objects.append(Seeded(key, size, seed=name, content_type="application/pdf", **more))
            self.files.append(File(row["Id"], key, name, size, odd))
        wait(self.corner.stage.objects.load(self.bucket, objects))
        self.corner.records(rows)

    def url(self, key: str) -> str:
        if self.route in {"server_copy", "stream"}:
            return f"https://{self.bucket}.{VENDOR_HOST}/{quote(key)}"
        return f"{self.vendor.url}/{self.bucket}/{quote(key)}" + (f"?{_SIGNED}" if self.route == "http" else "")

    def behave(self, *behaviours: Behaviour) -> None:
        """The vendor's side behaves so from now on."""
        self.vendor.behave(*behaviours, *([PlainWeb()] if self.route == "plain" else []))

    def backup(self, kind: str = "--full", **env: str) -> Said:
        return self.corner.engine(
            "run", "backup", kind, "--no-progress", "--transport", self.transport, "--json", **env
        )

    def wrong(self) -> list[str]:
        """Records that the DB calls backed up and whose copy does not hold their file's own bytes: what must not be."""
        rows, held = self.corner.rows(), self.corner.held()
        lies = []
        for file in self.files:
            row = rows.get(file.id)
            if row is None or row["status"] != "backed_up":
                continue
            copy, true = held.get(row["your_s3_key"]), sha256(file.seed, file.size)
            if copy is None or (copy.size, copy.sha256) != (file.size, true):
                size = copy and copy.size
                lies.append(f"{file.key}: {row['proof']} by {row['method']}, but {size} bytes, not the {file.size}")
            if row["file_size_bytes"] != file.size or row["file_hash"] not in {None, true}:
                lies.append(f"{file.key}: size or hash in the DB is another's")
        return lies

    def ends(self, *, odd: bool) -> dict[str, str]:
        """How the odd, or the ordinary ones ended: by size class, or by key."""
        rows = self.corner.rows()
        return {
            file.odd or file.key: (row := rows[file.id])["failure_class"] or row["status"]
            for file in self.files
            if bool(file.odd) is odd
        }

    def proofs(self) -> set[str]:
        """What the copies that are called so rest on."""
        return {row["proof"] for row in self.corner.rows().values() if row["status"] == "backed_up"}

    def verified(self) -> None:
        """Each level of ``verify`` finds all that a weaker one finds."""
        found: list[set[str]] = []
        for level, *more in LEVELS:
            report = Path(self.corner.directory / f"verify-{len(found)}.txt")
            said = self.corner.engine("verify", "--level", level, *more, "--report", str(report))
            assert said.code in {0, 3, 6}, said.everything
            lines = [line.split("\t") for line in report.read_text().splitlines()]
            found.append({record for sign, record, *_ in lines if sign in {"*", "-"}})
        assert found[0] <= found[1] <= found[2], f"list, head and deep disagree: {found}"
        assert found[3] <= found[2]

    def told(self) -> str:
        """The cell's text in the table: records by proof, and failures by class."""
        rows = self.corner.rows().values()
        proofs = Counter(row["proof"] for row in rows if row["status"] == "backed_up")
        failures = Counter(row["failure_class"] or row["status"] for row in rows if row["status"] != "backed_up")
        return ", ".join(f"{name} {count}" for name, count in (*sorted(proofs.items()), *sorted(failures.items())))


@contextmanager
def world(
    corner: Corner,
    route: Route,
    transport: Transport = "fast",
    *,
    listed: bool = True,
    attempts: int = 2,
    between: bool = True,
) -> Iterator[World]:
    """A calm world whose records travel by ``route``: give it files, then let its peers behave. ``between``: a peer
    stands before our store too."""
    vendor = Peer(corner.stage.store.url)
    ours = vendor if route == "server_copy" else Peer(corner.stage.store.url)
    with peers(*{vendor, ours}):
        corner.env |= {
            "ENGINE_SOURCE__ENDPOINT_URL": corner.stage.store.url if route == "plain" else vendor.url,
            "ENGINE_SOURCE__BUCKETS": f'["vendor-{corner.tag}"]',
            "ENGINE_SOURCE__ALLOWED_HOSTS": f'["{vendor.url}"]' if route == "plain" else "[]",
            "ENGINE_SOURCE__INVENTORY": "always" if listed and route in {"server_copy", "stream"} else "never",
            "ENGINE_DESTINATION__ENDPOINT_URL": ours.url if between or ours is vendor else corner.stage.store.url,
            "ENGINE_MIGRATION__MAX_ATTEMPTS": str(attempts),
            "ENGINE_MIGRATION__PART_SIZE_MB": "5",
        }
        place = World(corner, route, transport, vendor, ours)
        wait(corner.stage.objects.create_buckets(place.bucket))
        place.behave()
        yield place


Note = Callable[[str, World], None]
