"""Stories drawn from a seed: first drawn, then played, so that what is left out changes nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.simulation.story import Act, Item, Story
from tests.simulation.world import Hostile

STEPS = {"backup --full": 120, "backup --incremental": 55, "switch": 360, "rollback": 200, "verify": 45, "rebuild": 40}
"""About how many steps a calm run takes."""
CALLS = {"switch": 34, "rollback": 26}
FIRST = ("switch", "switch", "db rebuild --from-bucket", "run rollback --from-bucket --execute")
"""What is typed once the box was lost, or brought back."""
SCAN_FAULTS = (
    *("lost", "cut", "silent", "bad_gateway", "unavailable"),
    *("garbled", "logged_out", "slow", "locators", "html"),
)
SKEWS = (-90_000.0, -3_600.0, -800.0, -300.0, -7.0, 7.0, 300.0, 800.0, 3_600.0, 90_000.0)
"""By how much a clock is off, or jumps."""
MANNERS = ("mixed", "mixed", "one", "line")


class _Drawer:
    def __init__(self, seed: int, hostile: Hostile) -> None:
        self.chance = random.Random(f"story {seed}")
        self.hostile = hostile
        self.more, self.clocks, self.disks, self.machines = (
            random.Random(f"{name} {seed}") for name in ("more", "clocks", "disks", "machines")
        )
        """For what was thought of later: what a seed drew before stays."""
        self._numbers, self._late_numbers = 0, 1_000

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _late(self, kind: str, at: int, what: str = "", seconds: float = 0.0, pick: int = 0) -> Item:
        self._late_numbers += 1
        return Item(self._late_numbers, kind, at, what, seconds, pick)

    def act(self, first: bool, fresh: bool) -> Act:
        chance, number = self.chance, self.number()
        line = "run backup --full" if first and fresh else self._line()
        verb = next(name for name in STEPS if name.split()[0] in line and name.split()[-1] in line)
        steps, calls = STEPS[verb], CALLS.get(verb, 0)
        items: list[Item] = []
        if chance.random() < 0.45:
            how = "power" if chance.random() < 0.4 else ""
            if calls and chance.random() < 0.4:
                items.append(Item(self.number(), "kill", chance.randint(1, calls), f"call {how}".strip()))
                if chance.random() < 0.5:
                    seconds = chance.choice((2.0, 27.0, 200.0, 590.0))
                    items += [Item(self.number(), "org", items[0].at + near, "slow", seconds) for near in (0, -1, -2)]
            else:
                items.append(Item(self.number(), "kill", chance.randint(1, steps), how))
        elif chance.random() < 0.1:
            items.append(Item(self.number(), "signal", chance.randint(1, steps), chance.choice(("2", "15"))))
        items += self._edits(steps)
        if calls and chance.random() < 0.45:
            for _ in range(chance.choice((1, 1, 2, 4))):
                items.append(self._org_fault(calls))
        if chance.random() < (0.4 if "backup" in line else 0.1):
            kind = chance.choice(SCAN_FAULTS)
            seconds = round(chance.choice((0.0, 3.0, 200.0)), 1)
            items.append(Item(self.number(), "scan", chance.randint(1, 12), kind, seconds))
        if chance.random() < 0.06:
            items.append(Item(self.number(), "revise", 0, pick=chance.randrange(99)))
        if chance.random() < 0.15:
            kind = chance.choice(("lost", "cut", "busy", "slow", "short"))
            items.append(Item(self.number(), "store", chance.randint(1, 40), kind, round(chance.uniform(0, 9), 1)))
        if chance.random() < 0.08:
            items.append(Item(self.number(), "disk", chance.randint(1, steps // 2), chance.choice(("full", "broken"))))
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
        items += self._more(line, steps, of_all=first and fresh)
        items += self._clock(items, steps)
        machines = self.machines
        machine = machines.choice(("copy", "copy", "bare")) if not first and machines.random() < 0.08 else ""
        return Act(number, line, tuple(items), chance.choice(MANNERS), wait, machine)

    def _more(self, line: str, steps: int, *, of_all: bool) -> Iterator[Item]:
        """``of_all``: the act copies every file."""
        chance, copies = self.more, "backup" in line
        if chance.random() < (0.5 if of_all else 0.3 if copies else 0.05):
            yield self._late("damage", chance.randint(1, 20 if of_all else 3), pick=chance.choice((1, 1, 2, 9)))
        if chance.random() < (0.3 if copies else 0.02):
            yield self._late("revise", chance.randint(1, steps), pick=chance.randrange(99))
        if self.disks.random() < 0.04:
            yield self._late("disk", self.disks.randint(2, steps // 2), "read-only")

    def _clock(self, items: list[Item], steps: int) -> Iterator[Item]:
        """The clock is off, or jumps; mostly where somebody may later ask how long ago something was."""
        chance = self.clocks
        slow = any(item.what == "slow" and item.seconds >= 200 for item in items)
        if not self.hostile.clocks or chance.random() > (0.7 if slow else 0.2):
            return
        at = chance.choice((0, 0, chance.randint(1, steps)))
        seconds = chance.choice((-800.0, -300.0) if slow and not at else SKEWS)
        yield self._late("clock", at, seconds=seconds, pick=chance.choice((0, 20, 300)))

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
            box = line in {"restore", "lose"}
            return f"{line} {chance.choice(FIRST)}" if box else {"next": "next switch"}.get(line, line)
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
        kinds += ["html", "html"]
        seconds = chance.choice((0.0, 0.05, 2.0, 12.0, 27.0, 200.0, 590.0))
        return Item(self.number(), "org", chance.randint(1, calls), chance.choice(kinds), seconds)


def draw(seed: int, hostile: Hostile) -> Story:
    """The story of a seed."""
    drawer = _Drawer(seed, hostile)
    chance = drawer.chance
    conditional = chance.choices(("honoured", "ignored", "unsupported"), (80, 10, 10))[0]
    sums, fresh = chance.random() < 0.8, chance.random() < 0.12
    stores = random.Random(f"stores {seed}")
    parts, copies = stores.random() < 0.15, stores.random() < 0.9
    fresh = fresh or (stores.random() < 0.4 and (parts or not copies))
    acts = tuple(drawer.act(place == 0, fresh) for place in range(chance.choice((1, 1, 2, 2, 3, 4))))
    end = chance.choices(("rollback", "switch"), (60, 40))[0]
    return Story(seed, acts, conditional, sums, fresh, parts, copies, end)
