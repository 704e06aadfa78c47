"""Rows of figures, goals with what was reached, and how both are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measure import Run, Spread, spread


@dataclass(slots=True)
class Sample:
    """One run, with what the stand-ins saw of it."""

    run: Run
    requests: dict[str, int] = field(default_factory=dict)
    s3_cpu_s: float = 0.0
    org_cpu_s: float = 0.0


@dataclass(slots=True)
class Row:
    """Repeated runs of one subject over ``files`` files of ``nbytes`` bytes together."""

    case: str
    subject: str
    files: int
    samples: list[Sample] = field(default_factory=list)
    nbytes: int = 0
    note: str = ""

    @property
    def rate(self) -> Spread:
        """Files a second of the whole process, its start included."""
        return spread([self.files / each.run.wall_s for each in self.samples])

    @property
    def cpu_us(self) -> Spread:
        """CPU per file in microseconds."""
        return spread([each.run.cpu_s / self.files * 1e6 for each in self.samples])

    @property
    def megabytes_s(self) -> Spread:
        return spread([self.nbytes / 1e6 / each.run.wall_s for each in self.samples])

    @property
    def cpu_s_per_gb(self) -> Spread:
        return spread([each.run.cpu_s / self.nbytes * 1e9 for each in self.samples])

    @property
    def rss(self) -> int:
        return max(each.run.rss for each in self.samples)

    @property
    def requests_per_file(self) -> float:
        last = self.samples[-1].requests
        return sum(last.values()) / self.files

    def cells(self) -> list[str]:
        if not self.samples:
            return [self.subject, f"{self.files:,}" if self.files else "", "", "", "", "", "", self.note]
        per_gb = f"{self.cpu_s_per_gb.shown('.2f')} s/GB" if self.nbytes >= 1 << 27 else ""
        speed = f"{self.rate.shown(',.0f')}/s" if not per_gb else f"{self.megabytes_s.shown(',.0f')} MB/s"
        return [
            self.subject,
            f"{self.files:,}",
            f"{spread([each.run.wall_s for each in self.samples]).shown('.1f')} s",
            speed,
            per_gb or f"{self.cpu_us.shown(',.0f')} µs",
            f"{self.rss / 1e6:,.0f} MB",
            f"{self.requests_per_file:.3f}" if self.samples[-1].requests else "",
            "; ".join(filter(None, [self._servers(), self.note])),
        ]

    def _servers(self) -> str:
        load = max(each.run.load for each in self.samples)
        parts = [f"load {load:.1f}"]
        s3 = sum(each.s3_cpu_s for each in self.samples) / len(self.samples)
        org = sum(each.org_cpu_s for each in self.samples) / len(self.samples)
        parts += [f"S3 side {s3:.1f} CPU-s"] if s3 else []
        parts += [f"org {org:.1f} CPU-s"] if org else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table of goals. ``met`` None: not decided by this run."""

    text: str
    wanted: str
    reached: str
    met: bool | None = None


HEADS = ("", "files", "wall", "speed", "CPU per file", "peak RSS", "requests per file", "beside it")


@dataclass(slots=True)
class Report:
    machine: dict[str, str]
    judging: bool = True
    """Whether goals are called met or missed: not in a run too small to tell."""
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    tell: Callable[[str], None] = print

    def add(self, row: Row) -> Row:
        self.rows.append(row)
        self.tell("  " + " | ".join(cell for cell in row.cells() if cell))
        return row

    def ratio(self, text: str, values: Sequence[float], wanted: float, *, most: bool = False, unit: str = "×") -> None:
        """A goal on paired runs: their median decides."""
        found = spread(values)
        met = (found.mid <= wanted if most else found.mid >= wanted) if self.judging else None
        aim, reached = f"{'≤' if most else '≥'} {wanted:g} {unit}", f"{found.shown(',.2f')} {unit}"
        self.goal(Goal(text, aim.strip(), reached.strip(), met))

    def goal(self, goal: Goal) -> None:
        self.goals.append(goal)
        self.tell(f"  → {goal.text}: {goal.reached} (goal {goal.wanted}){_verdict(goal.met)}")

    def lines(self) -> list[str]:
        """The whole report in Markdown."""
        lines = ["## The machine", ""]
        lines += [f"- {name}: {value}" for name, value in self.machine.items()]
        for case in dict.fromkeys(row.case for row in self.rows):
            lines += ["", f"## {case}", "", "| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
            lines += ["| " + " | ".join(row.cells()) + " |" for row in self.rows if row.case == case]
        lines += ["", "## Goals", "", "| | goal | reached | |", "|---|---|---|---|"]
        lines += [f"| {g.text} | {g.wanted} | {g.reached} |{_verdict(g.met)} |" for g in self.goals]
        return lines

    def as_json(self) -> str:
        rows: list[dict[str, Any]] = [asdict(row) for row in self.rows]
        for row in rows:
            for sample in row["samples"]:
                sample["run"].pop("output")
        goals = [asdict(goal) for goal in self.goals]
        return json.dumps({"machine": self.machine, "rows": rows, "goals": goals}, indent=2, ensure_ascii=False)


def _verdict(met: bool | None) -> str:
    return "" if met is None else " met" if met else " **missed**"
