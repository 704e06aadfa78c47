"""The world of one seed: org, store, box and time, and what was seen to go wrong."""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Coroutine
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from engine.model.ids import to18
from engine.runs.shared.screen import Screen
from engine.settings import Settings
from tests.simulation import disk
from tests.simulation.bucket import OURS, VENDOR, Held, SimStore
from tests.simulation.disk import SimDisk
from tests.simulation.incidents import Ended, Incidents
from tests.simulation.life import Life
from tests.simulation.loop import Timeline
from tests.simulation.org import HOST, SimOrg
from tests.simulation.records import Entry
from tests.simulation.tracked import Tracked

RECORDS, ACCOUNTS = 24, 5
PART, LARGE = 1_024, 200
"""Bytes of a part; and how often a large file says what it is."""
KEY = b"5eed" * 16 + b"\n"


@dataclass(frozen=True, slots=True)
class Hostile:
    """Features of the world that today's code is known not to stand. Off unless asked for; whoever mends the code turns
    the feature on for good."""

    flows: bool = True
    """Automation changes what was written."""
    put_backs: bool = True
    """Users put our own and earlier links back."""
    restores: bool = True
    """The box is lost, or restored from an earlier day or from the middle of a run."""
    clocks: bool = True
    """The box's clock is off, is set right later, and jumps."""
    archives: bool = True
    """Objects of ours move to an archive class."""


ALL = Hostile(**dict.fromkeys(Hostile.__slots__, True))


@dataclass(slots=True)
class Violation:
    """A promise that was broken."""

    oracle: str
    what: str
    at: float

    def __str__(self) -> str:
        return f"{self.oracle}: {self.what} (at {self.at:.3f} s)"


class SimWorld:
    """One seed's. ``root``: a folder of its own."""

    def __init__(self, root: Path, hostile: Hostile, *, keep: bool = False) -> None:
        self.root = root
        self.box = root / "box"
        self.hostile = hostile
        self.timeline = Timeline()
        self.org = SimOrg(self.timeline)
        self.store = SimStore(self.timeline)
        self.violations: list[Violation] = []
        self.lines: list[str] | None = [] if keep else None
        self.spoilt: dict[str, float] = {}
        """Keys of ours that others have deleted, written over or archived."""
        self.restored = False
        """The box was lost or restored, once at least."""
        self.forgetful = False
        """A process ended, or the box was restored, before all that it did was written down."""
        self.squatted = False
        """Somebody else's object lay under a key of ours before anything was copied."""
        self.versions: dict[str, list[bytes]] = {}
        """What the vendor's objects held before, by key."""
        self.on_step: Callable[[int, int], None] = lambda _life, _step: None
        self.lives = 0
        self.life: Life | None = None
        self.settings = settings_for(root)
        self._hash = hashlib.blake2b(digest_size=8)
        self.disk = SimDisk()
        self.commits_are_durable = True
        self._frozen: disk.Image = {}
        self.tracked = Tracked(lambda: self.database)

    # what happened

    def trace(self, what: str) -> None:
        line = f"{self.timeline.now:.6f} {what}"
        self._hash.update(line.encode() + b"\n")
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def violated(self, oracle: str, what: str) -> None:
        self.trace(f"VIOLATED {oracle}: {what}")
        self.violations.append(Violation(oracle, what, self.timeline.now))

    # processes

    def live(
        self, chance: random.Random, incidents: Incidents, main: Callable[[Life], Coroutine[Any, Any, Any]]
    ) -> Ended:
        """Start a process and see it through."""
        self.lives += 1
        self.tracked.let_go()
        self.life = life = Life(self, self.lives, chance, incidents)
        ended = life.run(lambda: main(life))
        self.life = None
        self.forgetful |= ended.how != "reported"
        if life.dead:
            self.org.heard = {number: by for number, by in self.org.heard.items() if by != life.number}
        self.trace(f"life {life.number} {ended.how} {ended.code}")
        return ended

    def jump_later(self, after_s: float, seconds: float) -> None:
        """The clock of the machine at work is set, or goes wrong."""
        life = self.life

        def jump() -> None:
            if life is not None and life is self.life:
                self.trace(f"the clock jumps by {seconds:g} s")
                life.clock.jump(seconds)

        self.timeline.after(after_s, jump)

    def wait(self, seconds: float) -> None:
        """Nobody is at work; the world goes on."""
        self.timeline.advance(self.timeline.now + seconds)

    @property
    def left(self) -> str:
        """All that a process finds that starts now, but for the time: equal worlds go on alike."""
        box = [
            (name, mode, disk.without_salt(content) if name.endswith("-wal") else content)
            for name, (mode, content) in sorted(disk.image(self.box).items())
        ]
        entries = [(entry.history, entry.deleted, entry.hidden) for entry in self.org.entries.values()]
        objects = [{key: held.etag for key, held in each.items()} for each in self.store.objects.values()]
        on_the_way = sorted(number for number, request in self.org.under_way.items() if request.is_write)
        text = repr((box, entries, objects, on_the_way, self.timeline.changes))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    # the box

    def freeze(self, *, power: bool) -> None:
        """What a process that dies now leaves on the disk; ``power``: the machine goes down with it."""
        self._frozen = disk.image(self.box)
        if power:
            self._frozen = self.disk.after_crash(self._frozen)
            if not self.commits_are_durable:
                self._frozen.pop(f"{self.database.name}-wal", None)
            self.disk.forget()

    def reboot(self) -> None:
        self.tracked.forget()
        disk.restore(self.box, self._frozen)

    def bring_back(self, kept: disk.Image) -> None:
        """The box is from now on as it was then."""
        self.restored = self.forgetful = True
        self.disk.forget()
        self.tracked.forget()
        disk.restore(self.box, kept)

    @property
    def database(self) -> Path:
        return self.settings.tracking.database


@dataclass(frozen=True, slots=True)
class Start:
    """A world to begin with, made once."""

    box: disk.Image
    entries: dict[str, Entry]
    accounts: dict[str, str]
    objects: dict[str, dict[str, Held]]
    now: float
    steps: dict[str, int] = field(default_factory=dict)

    def world(self, root: Path, hostile: Hostile, *, keep: bool = False) -> SimWorld:
        world = SimWorld(root, hostile, keep=keep)
        disk.restore(world.box, self.box)
        world.timeline.now = self.now
        for name, entry in self.entries.items():
            world.org.entries[name] = copy.copy(entry)
            world.org.entries[name].history = list(entry.history)
        world.org.accounts = dict(self.accounts)
        world.store.objects |= {bucket: dict(objects) for bucket, objects in self.objects.items()}
        return world


def blank(records: int = RECORDS, *, parts: bool = False) -> Start:
    """An org that nobody has touched, files at the vendor's, an empty bucket, an empty box. ``parts``: every third file
    takes several parts, and every second one was made of a single one."""
    accounts = {to18(f"001000000000{n:03}"): f"Account {n}" for n in range(ACCOUNTS)}
    names = list(accounts)
    entries, objects = {}, {}
    for n in range(records):
        key = f"docs/{n % (records - 2):04}.pdf"  # two lead where others lead, too
        body = f"content of {key}\n".encode() * (LARGE if parts and n % 3 == 2 else 1 + n % 3)
        objects[key] = Held(body, 0.0, pieces=(len(body),) if parts and n % 2 else ())
        entry = Entry(to18(f"a0X00000000{n:04}"), f"File {n}", names[n % ACCOUNTS] if n % 7 else "", vendor(key), 1.0)
        scratch = SimOrg(Timeline())
        scratch.add(entry)
        entries[entry.id] = entry
    box: disk.Image = {"tracking.db.journal-key": (0o600, KEY)}
    return Start(box, entries, accounts, {VENDOR: objects, OURS: {}}, 3_600.0)


def vendor(key: str) -> str:
    return f"https://{VENDOR}.s3.us-west-2.amazonaws.com/{key}"


@lru_cache(maxsize=8)
def settings_for(root: Path) -> Settings:
    box = root / "box"
    keys = {"access_key_id": "AKIASIMULATED", "secret_access_key": "simulated"}
    return Settings.model_validate(
        {
            "salesforce": {
                "login_url": HOST,
                "client_id": "sim",
                "client_secret": "sim",
            },
            "source": {"region": "us-west-2", "buckets": [VENDOR], **keys},
            "destination": {"bucket": OURS, "region": "us-east-1", **keys},
            "migration": {"concurrency": 4, "batch_size": 4, "max_attempts": 3, "queue_size": 20, "drain_seconds": 5},
            "switch": {"waves": [1, 5, "50%", "100%"], "max_drift": 1.0},
            "tracking": {"database": str(box / "tracking.db")},
            "logging": {"directory": str(root / "logs")},
        }
    )


class PartSize(int):
    """So many bytes in place of MiB: smaller than the settings allow."""

    def __mul__(self, _mib: int) -> int:
        return int(self)


def in_parts(settings: Settings) -> Settings:
    """What is larger than four small parts goes in parts."""
    migration = settings.migration.model_copy(update={"part_size_mb": PartSize(PART)})
    return settings.model_copy(update={"migration": migration})


class SimScreen(Screen):
    """Nobody looks."""

    __slots__ = ()

    def say(self, text: str) -> None:
        del text

    def logging(self, settings: Settings) -> Any:
        return nullcontext()


@lru_cache(maxsize=1)
def screen() -> SimScreen:
    return SimScreen(Console(quiet=True), quiet=True)


@contextmanager
def silence() -> Any:
    """No log: structlog prints where nobody has told it otherwise."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=structlog.ReturnLoggerFactory()
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
