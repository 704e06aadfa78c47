"""Plays a story in a world: process after process, each held to its promises, and then the end."""

from __future__ import annotations

import gc
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engine.model.command import Advice, Command
from engine.model.errors import Fatal
from engine.settings import Settings
from engine.tracking.db.chain import tip_path
from tests.simulation import disk
from tests.simulation.bucket import OTHERS
from tests.simulation.commands import command, parse
from tests.simulation.incidents import Ended, Fault, Incidents
from tests.simulation.oracles import Watch
from tests.simulation.others import arrange, edit
from tests.simulation.quiet import all_have_rows, quiet, rows
from tests.simulation.shape import OTHER
from tests.simulation.starting import furnish, start_of
from tests.simulation.story import Act, Item, Story
from tests.simulation.words import hold
from tests.simulation.world import Hostile, SimWorld, silence

QUIET_S = 700.0
"""Longer than any call of the org."""
MOST_ROUNDS = 4
BLOCKED = 4
COLLECT_EVERY = 40
_played = 0


OnStep = Callable[[SimWorld, int, int], None]


def _nothing(_world: SimWorld, _life: int, _step: int) -> None:
    pass


@dataclass(slots=True)
class Played:
    """How a story went."""

    world: SimWorld
    lives: list[tuple[str, Ended]] = field(default_factory=list)


class Player:
    """Plays one story in one world."""

    def __init__(
        self, story: Story, root: Path, hostile: Hostile, *, keep: bool = False, on_step: OnStep = _nothing
    ) -> None:
        self.story = story
        self.world = start_of(story, root).world(root, hostile, keep=keep)
        furnish(self.world, story)
        self.watch = Watch(self.world)
        self.played = Played(self.world)
        self._snapshots: list[disk.Image] = []
        self._elsewhere = ""
        self._other: disk.Image = {}
        """The box of another machine."""
        self.world.on_step = partial(on_step, self.world)
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
        self.world.store.damaged = range(0)
        for item in act.items:
            self._arrange(item, incidents, chance)
        with self._machine(act.machine):
            line = self._line(act.line)
            self.run(line, chance, incidents)

    @contextmanager
    def _machine(self, which: str) -> Iterator[None]:
        """Another machine, with settings and key of this one, and with a ``copy`` of its box, or ``bare``. What the
        first one has under way goes on; what it knows stays its own."""
        if not which:
            yield
            return
        world, mine = self.world, disk.image(self.world.box)
        self.watch.epoch += 1
        if which == "copy":
            world.bring_back(self._other or mine)
        else:
            world.bring_back({name: each for name, each in mine.items() if name.endswith("journal-key")})
        yield
        self._other = disk.image(world.box)
        self.watch.epoch += 1
        world.bring_back(mine)

    def _line(self, line: str) -> str:
        """What the operator types in the end."""
        word, _, rest = line.partition(" ")
        if word in {"field", "bucket"}:
            self._elsewhere, line = word, rest
        if word in {"restore", "lose"}:
            self._box(word)
            return "run switch --execute" if rest == "switch" else rest
        if word == "next":
            known = [each for each in self._advice if each.startswith(("run ", "db ")) and "CLASS" not in each]
            return known[0] if known else f"run {rest} --execute"
        if "LATEST" in line:
            files = sorted(self.world.box.glob("*.rollback-*.ndjson"))
            if "--rollback-file" in line:
                return line.replace("LATEST", str(files[-1])) if files else "run rollback --from-database --execute"
            run = self._last_switch()
            return line.replace("--run LATEST", f"--run {run}" if run else "")
        return line

    def _last_switch(self) -> int | None:
        found = self.world.tracked.ask("SELECT max(id) FROM migration_runs WHERE run_type = 'switch'")
        return found[0][0] if found else None

    def run(self, line: str, chance: random.Random, incidents: Incidents) -> Ended:
        """One process, held to its promises."""
        world, watch = self.world, self.watch
        words = parse(line)
        watch.verb, watch.writes = words.verb, "--execute" in words.flags
        file = re.search(r"rollback-(\d+)", words.value("--rollback-file") or "")
        watch.run = int(file[1]) if file else words.number("--run")
        restricted = {"--limit", "--wave", "--account"} & {name for name, _ in words.values}
        watch.whole = not restricted and not (file and watch.epoch)  # an older file knows its own lines alone
        world.trace(f"$ {line.replace(str(world.root), '')}")
        begun = world.timeline.now
        watch.begin()
        watch.bad_disk, watch.bad_login = bool(incidents.disk), bool(incidents.scan)
        settings, elsewhere = self._settings(), self._elsewhere
        self._elsewhere, watch.elsewhere = "", bool(elsewhere)
        ended = world.live(chance, incidents, lambda life: command(settings, line, life.clock))
        if (
            elsewhere
            and not (self.story.fresh or watch.epoch)
            and (ended.how, ended.code) not in {("refused", BLOCKED), ("killed", -9)}
        ):
            world.violated("pinned", f"{line} with another {elsewhere} than the tracking DB's: {ended.words}")
        self.played.lives.append((line, ended))
        if ended.how == "reported":
            self._advice = commands_in(tuple(ended.report.next_steps))
        elif isinstance(ended.error, Fatal):
            self._advice = commands_in(ended.error.hint)
        hold(watch, ended, world.lives, begun)
        if ended.how == "refused" and watch.bad_disk:  # it heard, and could not write it down
            world.org.heard = {number: by for number, by in world.org.heard.items() if by != world.lives}
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
                incidents.power = "power" in item.what
                if "call" in item.what:
                    incidents.kill_call = item.at
                else:
                    incidents.kill = item.at
            case "disk":
                incidents.disk[item.at] = item.what
            case "signal":
                incidents.signals[item.at] = int(item.what)
            case "edit" if item.at == 0:
                edit(world, item)
            case "revise" if item.at:
                incidents.edits.setdefault(item.at, []).append(lambda: arrange(world, item))
            case "edit":
                incidents.edits.setdefault(item.at, []).append(lambda: edit(world, item))
            case "org":
                incidents.org[item.at] = Fault(item.what, item.seconds)
            case "scan":
                incidents.scan[item.at] = Fault(item.what, item.seconds)
            case "clock" if item.at == 0:
                incidents.skew_s = item.seconds
            case "clock":
                incidents.edits.setdefault(item.at, []).append(lambda: world.jump_later(item.pick, item.seconds))
            case "store":
                incidents.store[item.at] = Fault(item.what, item.seconds)
            case "snapshot":
                incidents.edits.setdefault(item.at, []).append(lambda: self._snapshots.append(disk.image(world.box)))
            case _:
                arrange(world, item)

    def _box(self, word: str) -> None:
        """The box is lost, or brought back from an earlier moment."""
        world = self.world
        self.watch.epoch += 1
        kept = disk.image(world.box)
        if word == "restore" and self._snapshots:
            age = random.Random(f"age {self.story.seed} {len(self.played.lives)}")
            world.bring_back(age.choice((self._snapshots[-1], *self._snapshots)))
        elif word == "lose":
            world.bring_back({name: each for name, each in kept.items() if name.endswith("journal-key")})

    # the end

    def _epilogue(self) -> None:
        """Faults off, and time for all that is late; then a few clean commands, and the same once more."""
        world = self.world
        world.org.locks.clear()
        world.org.rejected.clear()
        world.store.damaged = range(0)
        world.org.flow = lambda _entry, written, _before: written
        world.wait(QUIET_S)
        end = {
            "switch": "run switch --execute --retry-class rejected",
            "rollback": "run rollback --from-database --execute",
        }[self.story.end]
        spoilt = any(item.kind in {"vanish", "archive"} for act in self.story.acts for item in act.items)
        if spoilt:
            self._calm("verify")  # nothing else looks at copies that nobody is about to link to
        if self.story.fresh:
            self._calm("run backup --incremental")
            if world.database.exists():
                all_have_rows(world)
        self._calm("run backup --full")
        if self.watch.epoch:
            self._find_the_way_back()
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
        if self.story.end == "rollback" and any("--from-bucket" in line for line in self._advice):
            self._calm("run rollback --from-bucket --execute")
        if spoilt:
            self._calm("verify")  # nor at those of rows that had failed, and are copies again since the links went back
        if not any("rebuild" in line for line, _ in self.played.lives):  # after it only a backup knows the rows
            rows(world, waiting=True)
        self._calm("run backup --incremental")  # a rollback leaves rows of edited records and of condemned copies to it
        quiet(world, undone=self.story.end == "rollback" and ended.code == 0)
        rows(world)

    def _find_the_way_back(self) -> None:
        """What an earlier box has switched, this one may not know: each of the ways back must do."""
        ways = random.Random(f"way {self.story.seed}")
        if ways.random() < 0.5:
            self._calm("db rebuild --from-bucket")
        if self.story.end == "switch" or ways.random() < 0.5:
            self._calm("run rollback --from-bucket --execute")

    def _obeyed(self) -> bool:
        """Whether a refusal has said what to type, and it was typed."""
        for line in self._advice:
            if "FILE" not in line and line.partition(" ")[0] in {"run", "db"}:
                ended = self._calm(line)
                if "journal_key_file" in str(getattr(ended.error, "hint", "")):
                    self._take_another_key()
                return True
        return False

    def _take_another_key(self) -> None:
        """Of a journal of which nothing can be read any more: a new one begins."""
        settings = self.world.settings
        tip_path(settings.tracking.database).unlink(missing_ok=True)
        file = self.world.box / "another.journal-key"
        self.world.settings = settings.model_copy(
            update={"switch": settings.switch.model_copy(update={"journal_key_file": file})}
        )

    def _calm(self, line: str) -> Ended:
        self.world.wait(1.0)
        return self.run(line, random.Random(f"calm {self.story.seed}"), Incidents(manner="line"))


def commands_in(advice: Advice) -> list[str]:
    """What is to be typed, as far as an advice says."""
    if isinstance(advice, tuple):
        return [words for part in advice for words in commands_in(part)]
    return [advice.words] if isinstance(advice, Command) else []


def play(
    story: Story,
    root: Path,
    hostile: Hostile,
    *,
    keep: bool = False,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_step: OnStep = _nothing,
) -> Played:
    """Play a story, ``around`` it what is planted. The log is silent. ``on_step`` is told the world, and the numbers of
    the process and of its step."""
    global _played
    with silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        gc.disable()  # when it runs depends on more than the seed
        try:
            player = Player(story, root, hostile, keep=keep, on_step=on_step)
            with around():
                return player.play()
        finally:
            _played += 1
            if _played % COLLECT_EVERY == 0:
                gc.collect()
            gc.enable()
            sys.unraisablehook = hook
