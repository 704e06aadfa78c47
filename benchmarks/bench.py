"""What every case works with: the choices of the command line, the report, and measured, checked runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.measure import Failed, Run
from benchmarks.peers.programs import Missing
from benchmarks.report import Report, Row, Sample
from benchmarks.stage import Stage

_HZ = os.sysconf("SC_CLK_TCK")
FULL = ("run", "backup", "--full", "--no-progress")


@dataclass(frozen=True, slots=True)
class Bench:
    """``records`` None: each case's own number. ``quick``: everything tiny, nothing timed."""

    room: Path
    report: Report
    records: int | None = None
    pairs: int = 3
    latency_ms: float = 20.0
    in_flight: int = 256
    quick: bool = False
    executor: str = "processes:N"
    """``--executor`` of the case ``scale``; N becomes each number of the ladder."""
    ladder: Sequence[int] = (1, 2, 4, 8)

    def count(self, normal: int, tiny: int = 300) -> int:
        """How many files a case takes."""
        return tiny if self.quick else self.records or normal

    @property
    def rounds(self) -> int:
        return 1 if self.quick else self.pairs

    def place(self, name: str) -> Path:
        """A folder of the case's own."""
        path = self.room / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def measured(stage: Stage, work: Callable[[], Run], *, written: int | None, reset: bool = True) -> Sample:
    """Run against an emptied destination and check that ``written`` objects of the right size have arrived.

    Raises Failed, Missing.
    """
    if reset:
        stage.ours.reset()
        stage.source.clear_counts()
    pids = {stage.source.pid, stage.ours.pid}
    s3, org = sum(map(cpu_of, pids)), cpu_of(stage.org.pid)
    done = work()
    s3, org = sum(map(cpu_of, pids)) - s3, cpu_of(stage.org.pid) - org
    states = [stage.ours.state()] + ([stage.source.state()] if stage.source is not stage.ours else [])
    requests: dict[str, int] = {}
    for state in states:
        for verb, number in state["requests"].items():
            requests[verb] = requests.get(verb, 0) + number
    if written is not None:
        found = states[0]["objects"][OURS]
        if found != written:
            raise Failed(f"{found:,} objects arrived, not {written:,}")
        whole, size = states[-1]["sizes"][SOURCE], states[0]["sizes"][OURS]
        if written == stage.records and whole != size:
            raise Failed(f"{size:,} bytes arrived, not {whole:,}")
    return Sample(done, requests, s3, org)


def peer(row: Row, work: Callable[[], Sample]) -> Sample | None:
    """One sample of a peer; where the peer is not installed, a note in its row."""
    try:
        row.samples.append(work())
    except Missing as missing:
        row.note = str(missing)
        return None
    return row.samples[-1]


def cpu_of(pid: int) -> float:
    """User and system CPU seconds of a running process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _HZ
