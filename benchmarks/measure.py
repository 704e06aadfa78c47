"""Run a command as a child and say what it took; describe the machine; summarise repeated runs."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import struct_rusage


@dataclass(frozen=True, slots=True)
class Run:
    """One child process from start to end. CPU is user plus system, with that of its own children."""

    wall_s: float
    cpu_s: float
    rss: int
    """Peak, in bytes."""
    code: int
    output: str
    load: float
    """Load average over a minute, just before."""


class Failed(Exception):
    """A run that should have worked did not."""


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    codes: Sequence[int] = (0,),
    log: Path,
    limit_s: float = 3600.0,
) -> Run:
    """Run it, stdout and stderr to ``log``. Raises Failed for an exit code not among ``codes``."""
    load = os.getloadavg()[0]
    with log.open("wb") as out:
        started = time.perf_counter()
        child = subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=clean_environment() | dict(env or {}),
            cwd=cwd,
        )
        status, usage, rss = _wait(child.pid, started + limit_s)
        wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    output = log.read_text(encoding="utf-8", errors="replace")
    if child.returncode not in codes:
        raise Failed(f"{Path(command[0]).name} ended with {child.returncode}: {output[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall, cpu, rss, child.returncode, output, load)


def clean_environment() -> dict[str, str]:
    """This process's environment without what clouds and proxies read from it.

    Python may keep what it compiles: an installed engine is compiled, and to do it anew takes 0.2 CPU-s a start.
    """
    foreign = ("AWS_", "RCLONE_", "ENGINE_", "PYTHONDONTWRITEBYTECODE")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }


def _wait(pid: int, deadline: float) -> tuple[int, struct_rusage, int]:
    """Wait for a child. Its peak RSS is read while it runs: ``ru_maxrss`` counts the parent that it forked from too."""
    rss = 0
    while True:
        rss = max(rss, _peak(pid))
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return status, usage, rss
        if time.perf_counter() > deadline:
            os.kill(pid, 9)
            deadline = float("inf")
        time.sleep(0.01)


def _peak(pid: int) -> int:
    """High-water mark in bytes of the largest among a process and its children; 0 once they are gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return max([own, *(_peak(int(child)) for child in children)])


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of repeated measurements."""

    low: float
    mid: float
    high: float

    def shown(self, form: str = ",.1f") -> str:
        if self.low == self.high:
            return format(self.mid, form)
        return f"{self.mid:{form}} ({self.low:{form}}–{self.high:{form}})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), statistics.median(values), max(values))


def machine() -> dict[str, str]:
    """The machine, for the head of a table."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or "unknown",
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} × {model}",
        "memory": f"{int(memory) / 1e6:.1f} GB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
