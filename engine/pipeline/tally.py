"""Tally: what the run has done so far, for the progress line, the log and the final report. Counters only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from engine.limiting.clock import Clock
from engine.model.outcome import Looked, Outcome, Status
from engine.model.plan import Known

_COUNTED = {Status.FAILED: "failed", Status.SKIPPED: "skipped", Status.PENDING: "pending"}


@dataclass(slots=True)
class Tally:
    """Counts of one run. ``total`` is the number of records in scope, None while unknown."""

    started_s: float
    total: int | None = None
    seen: int = 0
    unchanged: int = 0
    backed_up: int = 0
    new: int = 0
    skipped: int = 0
    failed: int = 0
    gone: int = 0
    pending: int = 0
    """Left for another run: changed beyond the limit; in a dry run, failed before."""
    countless: bool = False
    bytes_stored: int = 0
    bytes_read: int = 0
    in_flight: int = 0
    retries: int = 0
    phase: str = ""
    """What goes on instead of copying, for a person."""
    failures: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    proofs: Counter[str] = field(default_factory=Counter)
    unseen: Counter[str] = field(default_factory=Counter)
    """Copies that stand, of which nobody can say that their source is what it was; by reason."""

    def expect(self, records: int | None) -> None:
        """So many more records are in scope; None: nobody knows how many, and nobody will from now on."""
        self.countless |= records is None
        self.total = None if self.countless else (self.total or 0) + (records or 0)

    def met_again(self, records: int) -> None:
        """So many of those that were expected are in these counts already."""
        if self.total is not None:
            self.total -= records

    def uncount(self, row: Known, *, ended: bool) -> None:
        """A record of these counts is taken up once more. ``ended``: as its row says; else its copy stood."""
        if not ended:
            if self.unseen[row.unseen]:
                self.unseen -= Counter([row.unseen])
            else:
                self.unchanged -= 1
            return
        name = _COUNTED.get(row.status, "backed_up")
        setattr(self, name, max(0, getattr(self, name) - 1))
        self.failures -= Counter([row.failure])

    def count(self, outcome: Outcome | Looked) -> None:
        """Take the end of one record into account."""
        if isinstance(outcome, Looked):
            if outcome.unseen:
                self.unseen[outcome.unseen] += 1
            else:
                self.unchanged += 1
            return
        match outcome.status:
            case Status.BACKED_UP:
                self.backed_up += 1
                self.new += outcome.is_new
                self.bytes_stored += outcome.size or 0
                self.bytes_read += outcome.read_bytes
                if outcome.method is not None:
                    self.methods[outcome.method.value] += 1
                if outcome.proof is not None:
                    self.proofs[outcome.proof] += 1
            case Status.SKIPPED:
                self.skipped += 1
            case Status.GONE:
                self.gone += 1
            case Status.PENDING:
                self.pending += 1
            case _:
                self.failed += 1
        if outcome.failure is not None and outcome.status in _COUNTED:
            self.failures[outcome.failure.value] += 1

    @property
    def done(self) -> int:
        """Records of this run that need nothing more from it."""
        ended = self.unchanged + self.backed_up + self.skipped + self.failed + self.gone + self.pending
        return ended + self.unseen.total()


@dataclass(slots=True)
class Rates:
    """Files and bytes per second over about the last fifteen seconds, from samples of a Tally."""

    clock: Clock
    horizon_s: float = 15.0
    _samples: list[tuple[float, int, int, int]] = field(default_factory=list)

    def sample(self, tally: Tally) -> None:
        now = self.clock.monotonic()
        self._samples.append((now, tally.backed_up + tally.failed + tally.skipped, tally.bytes_stored, tally.done))
        while len(self._samples) > 2 and now - self._samples[0][0] > self.horizon_s:
            self._samples.pop(0)

    def _per_second(self, column: int) -> float:
        if len(self._samples) < 2:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        span = last[0] - first[0]
        return (last[column] - first[column]) / span if span > 0 else 0.0

    @property
    def files_per_s(self) -> float:
        return self._per_second(1)

    @property
    def bytes_per_s(self) -> float:
        return self._per_second(2)

    def eta_s(self, tally: Tally) -> float | None:
        """Seconds left at the present pace; None while the total or the pace is unknown."""
        pace = self._per_second(3)
        if tally.total is None or pace <= 0:
            return None
        return max(0.0, (tally.total - tally.done) / pace)
