"""What happens in one seed: the operator's commands, the users' edits, the faults. Drawn first, then played.

Everything that can be left out has a number, so that a failing story shrinks by leaving out; whatever is left happens
as it did, for each act draws from a source of its own.
"""

from __future__ import annotations

import gc
import random
import re
import sqlite3
import sys
import warnings
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.model.command import Advice, Command
from engine.model.errors import Fatal
from engine.settings import Settings
from tests.simulation import disk
from tests.simulation.bucket import OTHERS, OURS, VENDOR, Held
from tests.simulation.commands import command, parse
from tests.simulation.life import Ended, Fault, Incidents
from tests.simulation.oracles import Watch, peek
from tests.simulation.org import OTHER
from tests.simulation.world import Hostile, SimWorld, Start, blank, silence, vendor

STEPS = {"backup --full": 120, "backup --incremental": 50, "switch": 240, "rollback": 160, "verify": 40}
"""About how many steps a calm run takes."""
CALLS = {"switch": 34, "rollback": 26}
MANNERS = ("mixed", "mixed", "one", "line")
QUIET_S = 700.0
"""Longer than any call of the org."""
MOST_ROUNDS = 4
BLOCKED = 4
COLLECT_EVERY = 40
_played = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that happens to an act. ``at``: its step or call."""

    number: int
    kind: str
    at: int
    what: str = ""
    seconds: float = 0.0
    pick: int = 0

    def __str__(self) -> str:
        more = f" {self.what}" if self.what else ""
        return f"{self.kind}{more} at {self.at}" + (f" for {self.seconds:g} s" if self.seconds else "")


@dataclass(frozen=True, slots=True)
class Act:
    """One command, and what comes between."""

    number: int
    line: str
    items: tuple[Item, ...] = ()
    manner: str = "mixed"
    wait_s: float = 1.0
    strict_clock: float = 0.0

    def __str__(self) -> str:
        told = "".join(f"\n      [{item.number}] {item}" for item in self.items)
        return f"[{self.number}] {self.line} ({self.manner}, after {self.wait_s:g} s){told}"


@dataclass(frozen=True, slots=True)
class Story:
    """All of a seed."""

    seed: int | str
    acts: tuple[Act, ...]
    conditional: str = "honoured"
    sums: bool = True
    fresh: bool = False
    end: str = "rollback"

    def without(self, left_out: Collection[int]) -> Story:
        acts = tuple(
            Act(
                act.number,
                act.line,
                tuple(item for item in act.items if item.number not in left_out),
                act.manner,
                act.wait_s,
            )
            for act in self.acts
            if act.number not in left_out
        )
        return Story(self.seed, acts, self.conditional, self.sums, self.fresh, self.end)

    @property
    def numbers(self) -> list[int]:
        return [n for act in self.acts for n in (act.number, *(item.number for item in act.items))]

    def __str__(self) -> str:
        begin = "an empty box" if self.fresh else "a backup of all"
        head = f"store: {self.conditional}{'' if self.sums else ', no sums'}; begins with {begin}; ends with {self.end}"
        return "\n".join([head, *(f"  {act}" for act in self.acts)])


# drawing


class _Drawer:
    def __init__(self, seed: int, hostile: Hostile) -> None:
        self.chance = random.Random(f"story {seed}")
        self.hostile = hostile
        self._numbers = 0

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def act(self, first: bool, fresh: bool) -> Act:
        chance, number = self.chance, self.number()
        line = "run backup --full" if first and fresh else self._line()
        verb = next(name for name in STEPS if name.split()[0] in line and name.split()[-1] in line)
        steps, calls = STEPS[verb], CALLS.get(verb, 0)
        items: list[Item] = []
        if chance.random() < 0.45:
            items.append(Item(self.number(), "kill", chance.randint(1, steps)))
        elif chance.random() < 0.1:
            items.append(Item(self.number(), "signal", chance.randint(1, steps), chance.choice(("2", "15"))))
        items += self._edits(steps)
        if calls and chance.random() < 0.45:
            for _ in range(chance.choice((1, 1, 2, 4))):
                items.append(self._org_fault(calls))
        if chance.random() < 0.15:
            kind = chance.choice(("lost", "cut", "busy", "slow", "short"))
            items.append(Item(self.number(), "store", chance.randint(1, 40), kind, round(chance.uniform(0, 9), 1)))
        if chance.random() < 0.12:
            items.append(Item(self.number(), "lock", 0, "", round(chance.uniform(0.1, 90), 1), chance.randrange(9)))
        if chance.random() < 0.08:
            items.append(Item(self.number(), "rule", 0, pick=chance.randrange(99)))
        if chance.random() < 0.1:
            items.append(Item(self.number(), "vanish", 0, chance.choice(("gone", "other")), pick=chance.randrange(99)))
        if first and fresh and chance.random() < 0.4:
            items.append(Item(self.number(), "squat", 0, pick=chance.randrange(24)))
        if self.hostile.restores and chance.random() < 0.6:
            items.append(Item(self.number(), "snapshot", chance.randint(1, steps)))
        if self.hostile.archives and chance.random() < 0.2:
            items.append(Item(self.number(), "archive", 0, pick=chance.randrange(99)))
        if self.hostile.flows and chance.random() < 0.2:
            what = chance.choice(("append", "lower", "revert", "trim"))
            items.append(Item(self.number(), "flow", 0, what, pick=chance.randrange(9)))
        wait = chance.choice((0.0, 0.0, 1.0, 30.0, 900.0))
        return Act(number, line, tuple(items), chance.choice(MANNERS), wait)

    def _line(self) -> str:
        chance = self.chance
        kinds = {
            "run switch --execute": 40,
            "run rollback --from-database --execute": 24,
            "run rollback --rollback-file LATEST --execute": 4,
            "run backup --incremental": 10,
            "run backup --full": 4,
            "verify": 3,
            "run switch --dry-run": 3,
            "run rollback --from-database": 3,
            "next": 8,
            "field run rollback --from-database --execute": 1,
            "bucket run switch --execute": 1,
        }
        if self.hostile.restores:
            kinds |= {"restore": 20, "lose": 8}
        line = chance.choices(list(kinds), list(kinds.values()))[0]
        if "execute" not in line:
            return {"next": "next switch", "restore": "restore switch", "lose": "lose switch"}.get(line, line)
        if chance.random() < 0.3:
            line += " --strict"
        if "switch" in line:
            if chance.random() < 0.15:
                line += f" --wave {chance.randint(1, 4)}"
            if chance.random() < 0.1:
                line += f" --limit {chance.randint(1, 20)}"
            if chance.random() < 0.1:
                line += " --upload-rollback-file"
        elif "database" in line and chance.random() < 0.3:
            line += " --run LATEST"
        return line

    def _edits(self, steps: int) -> list[Item]:
        chance = self.chance
        if chance.random() < 0.5:
            return []
        kinds = ["new", "new", "file", "clear", "delete", "hide", "back"]
        if self.hostile.put_backs:
            kinds += ["original", "ours", "earlier", "swap"]
        return [
            Item(
                self.number(),
                "edit",
                max(0, chance.randint(-steps // 4, steps)),
                chance.choice(kinds),
                pick=chance.randrange(10_000),
            )
            for _ in range(chance.choice((1, 2, 3, 8)))
        ]

    def _org_fault(self, calls: int) -> Item:
        chance = self.chance
        kinds = ["lost", "cut", "cut", "silent", "bad_gateway", "unavailable", "logged_out", "garbled", "spent", "slow"]
        if self.hostile.html:
            kinds += ["html", "html"]
        seconds = chance.choice((0.0, 0.05, 2.0, 12.0, 27.0, 200.0, 590.0))
        return Item(self.number(), "org", chance.randint(1, calls), chance.choice(kinds), seconds)


def draw(seed: int, hostile: Hostile) -> Story:
    """The story of a seed."""
    drawer = _Drawer(seed, hostile)
    chance = drawer.chance
    conditional = chance.choices(("honoured", "ignored", "unsupported"), (80, 10, 10))[0]
    sums, fresh = chance.random() < 0.8, chance.random() < 0.12
    acts = tuple(drawer.act(place == 0, fresh) for place in range(chance.choice((1, 1, 2, 2, 3, 4))))
    end = chance.choices(("rollback", "switch"), (60, 40))[0]
    return Story(seed, acts, conditional, sums, fresh, end)


# playing


@dataclass(slots=True)
class Played:
    """How a story went."""

    world: SimWorld
    lives: list[tuple[str, Ended]] = field(default_factory=list)


class Player:
    """Plays one story in one world."""

    def __init__(self, story: Story, root: Path, hostile: Hostile, *, keep: bool = False) -> None:
        self.story = story
        self.world = _start(story, root).world(root, hostile, keep=keep)
        self.world.store.conditional, self.world.store.sums = story.conditional, story.sums
        self.watch = Watch(self.world)
        self.played = Played(self.world)
        self._snapshots: list[disk.Image] = []
        self._elsewhere = ""
        self._advice: list[str] = []
        """What the last process told its operator to type next."""

    def play(self) -> Played:
        for act in self.story.acts:
            self._act(act)
            if self.world.violations:
                return self.played
        self._epilogue()
        return self.played

    def _act(self, act: Act) -> None:
        chance = random.Random(f"act {self.story.seed} {act.number}")
        self.world.wait(act.wait_s)
        incidents = Incidents(manner=act.manner)
        for item in act.items:
            self._arrange(item, incidents, chance)
        line = self._line(act.line)
        self.run(line, chance, incidents)

    def _line(self, line: str) -> str:
        """What the operator types in the end."""
        word, _, rest = line.partition(" ")
        if word in {"field", "bucket"}:
            self._elsewhere, line = word, rest
        if word in {"restore", "lose"}:
            self._box(word)
            return "run switch --execute"
        if word == "next":
            known = [each for each in self._advice if each.startswith("run ") and "CLASS" not in each]
            return known[0] if known else f"run {rest} --execute"
        if "LATEST" in line:
            files = sorted(self.world.box.glob("*.rollback-*.ndjson"))
            if "--rollback-file" in line:
                return line.replace("LATEST", str(files[-1])) if files else "run rollback --from-database --execute"
            run = self._last_switch()
            return line.replace("--run LATEST", f"--run {run}" if run else "")
        return line

    def _last_switch(self) -> int | None:
        with suppress(sqlite3.OperationalError), closing(peek(self.world)) as db:
            found: int | None = db.execute("SELECT max(id) FROM migration_runs WHERE run_type = 'switch'").fetchone()[0]
            return found
        return None

    def run(self, line: str, chance: random.Random, incidents: Incidents) -> Ended:
        """One process, held to its promises."""
        world, watch = self.world, self.watch
        words = parse(line)
        watch.verb, watch.writes = words.verb, "--execute" in words.flags
        file = re.search(r"rollback-(\d+)", words.value("--rollback-file") or "")
        watch.run = int(file[1]) if file else words.number("--run")
        watch.whole = not {"--limit", "--wave", "--account"} & {name for name, _ in words.values}
        world.trace(f"$ {line.replace(str(world.root), '')}")
        begun = world.timeline.now
        watch.begin()
        settings, elsewhere = self._settings(), self._elsewhere
        self._elsewhere, watch.elsewhere = "", bool(elsewhere)
        ended = world.live(chance, incidents, lambda life: command(settings, line, life.clock))
        if elsewhere and not self.story.fresh and (ended.how, ended.code) not in {("refused", BLOCKED), ("killed", -9)}:
            world.violated("pinned", f"{line} with another {elsewhere} than the tracking DB's: {ended.words}")
        self.played.lives.append((line, ended))
        if ended.how == "reported":
            self._advice = commands_in(tuple(ended.report.next_steps))
        elif isinstance(ended.error, Fatal):
            self._advice = commands_in(ended.error.hint)
        watch.ended(ended, world.lives, begun)
        return ended

    def _settings(self) -> Settings:
        """Those of this run: somebody may have changed the field or the bucket in them."""
        settings = self.world.settings
        if self._elsewhere == "field":
            return settings.model_copy(
                update={"salesforce": settings.salesforce.model_copy(update={"url_field": OTHER})}
            )
        if self._elsewhere == "bucket":
            return settings.model_copy(
                update={"destination": settings.destination.model_copy(update={"bucket": OTHERS})}
            )
        return settings

    def _arrange(self, item: Item, incidents: Incidents, chance: random.Random) -> None:
        world = self.world
        match item.kind:
            case "kill":
                incidents.kill = item.at
            case "signal":
                incidents.signals[item.at] = int(item.what)
            case "edit" if item.at == 0:
                self._edit(item)
            case "edit":
                incidents.edits.setdefault(item.at, []).append(lambda: self._edit(item))
            case "org":
                incidents.org[item.at] = Fault(item.what, item.seconds)
            case "store":
                incidents.store[item.at] = Fault(item.what, item.seconds)
            case "lock":
                name = sorted(world.org.accounts)[item.pick % len(world.org.accounts)]
                world.org.locks[name] = world.timeline.now + item.seconds
            case "rule":
                names = sorted(world.org.entries)
                world.org.rejected.add(names[item.pick % len(names)])
            case "snapshot":
                incidents.edits.setdefault(item.at, []).append(lambda: self._snapshots.append(disk.image(world.box)))
            case "archive":
                keys = sorted(key for key in world.store.objects[OURS] if not key.startswith(".engine/"))
                if keys:
                    key = keys[item.pick % len(keys)]
                    held = world.store.objects[OURS][key]
                    world.store.objects[OURS][key] = Held(held.body, held.at, "GLACIER")
            case "vanish":
                self._lose_object(item)
            case "squat":
                entry = world.org.entries[sorted(world.org.entries)[item.pick]]
                name = entry.url.rpartition("/")[2]
                key = f"uploads/{entry.account or 'no-account'}/{entry.id}/{name}"
                world.store.objects[OURS][key] = Held(b"somebody else's\n", world.timeline.now)
            case "flow":
                world.org.flow = _flow(item.what, sorted(world.org.accounts)[item.pick % len(world.org.accounts)])

    def _lose_object(self, item: Item) -> None:
        """Somebody deletes a copy, or writes over it."""
        objects = self.world.store.objects[OURS]
        keys = sorted(key for key in objects if not key.startswith(".engine/"))
        if not keys:
            return
        key = keys[item.pick % len(keys)]
        self.world.spoilt.add(key)
        if item.what == "gone":
            del objects[key]
        else:
            objects[key] = Held(b"somebody else's\n", self.world.timeline.now)

    def _edit(self, item: Item) -> None:
        """What a user does."""
        world, pick = self.world, item.pick
        names = sorted(world.org.entries)
        entry = world.org.entries[names[pick % len(names)]]
        values = [change.value for change in entry.history if change.value]
        ours = [change.value for change in entry.history if change.who == "api" and change.value]
        world.trace(f"user {item.what} {entry.id}")
        match item.what:
            case "delete":
                world.org.delete(entry.id)
            case "hide":
                world.org.delete(entry.id, hide=True)
            case "back":
                world.org.delete(entry.id, back=True)
                world.org.delete(entry.id, back=True, hide=True)
            case _ if not entry.seen:
                return
            case "clear":
                world.org.edit(entry.id, "")
            case "original":
                world.org.edit(entry.id, values[0])
            case "ours" if ours:
                world.org.edit(entry.id, ours[pick % len(ours)])
            case "earlier":
                world.org.edit(entry.id, values[pick % len(values)])
            case "swap":
                world.org.edit(entry.id, world.org.entries[names[(pick // 7) % len(names)]].url)
            case "file":
                key = f"docs/edit-{pick}.pdf"
                world.store.objects[VENDOR][key] = Held(f"content of {key}\n".encode(), world.timeline.now)
                world.org.edit(entry.id, vendor(key))
            case _:
                world.org.edit(entry.id, f"https://elsewhere.example/{pick}.pdf")

    def _box(self, word: str) -> None:
        """The box is lost, or brought back from an earlier moment."""
        world = self.world
        self.watch.epoch += 1
        kept = disk.image(world.box)
        if word == "restore" and self._snapshots:
            disk.restore(world.box, self._snapshots[-1])
        elif word == "lose":
            disk.restore(world.box, {name: each for name, each in kept.items() if name.endswith("journal-key")})

    # the end

    def _epilogue(self) -> None:
        """Faults off, and time for all that is late; then a few clean commands, and the same once more."""
        world = self.world
        world.org.locks.clear()
        world.org.rejected.clear()
        world.org.flow = lambda _entry, written, _before: written
        world.wait(QUIET_S)
        end = {
            "switch": "run switch --execute --retry-class rejected",
            "rollback": "run rollback --from-database --execute",
        }[self.story.end]
        if any(item.kind in {"vanish", "archive"} for act in self.story.acts for item in act.items):
            self._calm("verify")  # nothing else looks at copies that nobody is about to link to
        if self.story.fresh:
            self._calm("run backup --incremental")
            if world.database.exists():
                self.watch.all_have_rows()
        self._calm("run backup --full")
        for _ in range(MOST_ROUNDS):
            before = len(self.watch.moved)
            ended = self._calm(end)
            if world.violations:
                return
            if ended.code == 0 and len(self.watch.moved) == before:
                break
            if ended.code in {4, 6} and self._obeyed():
                continue
            if ended.code:
                self._calm("run backup --incremental")
        else:
            world.violated(
                "fixed-point", f"{end} still ends with {ended.words}, or moves links, after {MOST_ROUNDS} rounds"
            )
        self.watch.rows(drifted=True)
        self._calm("run backup --incremental")  # a rollback leaves rows of edited records to it
        self.watch.quiet(undone=self.story.end == "rollback" and ended.code == 0)
        self.watch.rows()

    def _obeyed(self) -> bool:
        """Whether a refusal has said what to type, and it was typed."""
        for line in self._advice:
            if "FILE" not in line and line.partition(" ")[0] in {"run", "db"}:
                self._calm(line)
                return True
        return False

    def _calm(self, line: str) -> Ended:
        self.world.wait(1.0)
        return self.run(line, random.Random(f"calm {self.story.seed}"), Incidents(manner="line"))


def commands_in(advice: Advice) -> list[str]:
    """What is to be typed, as far as an advice says."""
    if isinstance(advice, tuple):
        return [words for part in advice for words in commands_in(part)]
    return [advice.words] if isinstance(advice, Command) else []


def _flow(what: str, account: str) -> Callable[[Any, str, str], str]:
    makes: dict[str, Callable[[str, str], str]] = {
        "append": lambda written, _before: f"{written}?by=flow",
        "lower": lambda written, _before: written.lower(),
        "revert": lambda _written, before: before,
        "trim": lambda written, _before: written[:-4],
    }
    make = makes[what]
    return lambda entry, written, before: make(written, before) if entry.account == account else written


@lru_cache(maxsize=16)
def _made(root: Path, conditional: str, sums: bool) -> Start:
    """A world in which a backup has copied everything."""
    begin = blank()
    world = begin.world(root, Hostile())
    world.store.conditional, world.store.sums = conditional, sums
    line = "run backup --full"
    ended = world.live(random.Random("begin"), Incidents(), lambda life: command(world.settings, line, life.clock))
    assert ended.code == 0, ended.words
    return Start(disk.image(world.box), world.org.entries, world.org.accounts, world.store.objects, world.timeline.now)


def _start(story: Story, root: Path) -> Start:
    return blank() if story.fresh else _made(root, story.conditional, story.sums)


def play(
    story: Story,
    root: Path,
    hostile: Hostile,
    *,
    keep: bool = False,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Played:
    """Play a story, ``around`` it what is planted. The log is silent."""
    global _played
    with silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        gc.disable()  # when it runs depends on more than the seed
        try:
            player = Player(story, root, hostile, keep=keep)
            with around():
                return player.play()
        finally:
            _played += 1
            if _played % COLLECT_EVERY == 0:
                gc.collect()
            gc.enable()
            sys.unraisablehook = hook
