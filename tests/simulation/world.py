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
from tests.simulation.life import Ended, Incidents, Life
from tests.simulation.loop import Timeline
from tests.simulation.org import HOST, Entry, SimOrg
from tests.simulation.tracked import Tracked

RECORDS, ACCOUNTS = 24, 5
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
    clocks: bool = False
    """The box's clock is off, and is set right later."""
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

    def wait(self, seconds: float) -> None:
        """Nobody is at work; the world goes on."""
        self.timeline.advance(self.timeline.now + seconds)

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


def blank(records: int = RECORDS) -> Start:
    """An org that nobody has touched, files at the vendor's, an empty bucket, an empty box."""
    accounts = {to18(f"001000000000{n:03}"): f"Account {n}" for n in range(ACCOUNTS)}
    names = list(accounts)
    entries, objects = {}, {}
    for n in range(records):
        key = f"docs/{n % (records - 2):04}.pdf"  # two lead where others lead, too
        objects[key] = Held(f"content of {key}\n".encode() * (1 + n % 3), 0.0)
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
