"""Tally: what the run has done so far, for the progress line, the log and the final report. Counters only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from engine.limiting.clock import Clock
from engine.model.outcome import COPIED_STATES, Looked, Outcome, Status
from engine.model.plan import Known

_CLASSED = {Status.FAILED, Status.SKIPPED, Status.PENDING}
"""Their failure class is counted too."""


@dataclass(slots=True)
class CopiesMade:
    """What was copied, and how."""

    files: int = 0
    new: int = 0
    bytes_stored: int = 0
    bytes_read: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    proofs: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Tally:
    """Counts of one run. ``total`` is the number of records in scope, None while unknown."""

    total: int | None = None
    countless: bool = False
    """Nobody will know ``total``."""
    unchanged: int = 0
    copies: CopiesMade = field(default_factory=CopiesMade)
    ended: Counter[Status] = field(default_factory=Counter)
    """Records that ended otherwise. Pending: left for another run, because they changed beyond the limit; in a dry run,
    because they failed before."""
    failures: Counter[str] = field(default_factory=Counter)
    unseen: Counter[str] = field(default_factory=Counter)
    """Copies that stand, of which nobody can say that their source is what it was; by reason."""
    in_flight: int = 0
    retries: int = 0
    phase: str = ""
    """What goes on instead of copying, for a person."""

    @property
    def backed_up(self) -> int:
        return self.copies.files

    @property
    def failed(self) -> int:
        return self.ended[Status.FAILED]

    @property
    def skipped(self) -> int:
        return self.ended[Status.SKIPPED]

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
        elif row.status in COPIED_STATES:
            self.copies.files = max(0, self.copies.files - 1)
        else:
            self.ended -= Counter([row.status])
            self.failures -= Counter([row.failure])

    def count(self, outcome: Outcome | Looked) -> None:
        """Take the end of one record into account."""
        if isinstance(outcome, Looked):
            if outcome.unseen:
                self.unseen[outcome.unseen] += 1
            else:
                self.unchanged += 1
            return
        status = outcome.status
        if status is Status.BACKED_UP:
            copies = self.copies
            copies.files += 1
            copies.new += outcome.is_new
            copies.bytes_stored += outcome.size or 0
            copies.bytes_read += outcome.read_bytes
            if outcome.method is not None:
                copies.methods[outcome.method.value] += 1
            if outcome.proof is not None:
                copies.proofs[outcome.proof] += 1
            return
        self.ended[status] += 1
        if outcome.failure is not None and status in _CLASSED:
            self.failures[outcome.failure.value] += 1

    @property
    def done(self) -> int:
        """Records of this run that need nothing more from it."""
        return self.unchanged + self.copies.files + self.ended.total() + self.unseen.total()


@dataclass(slots=True)
class Rates:
    """Files and bytes per second over about the last fifteen seconds, from samples of a Tally."""

    clock: Clock
    horizon_s: float = 15.0
    _samples: list[tuple[float, int, int, int]] = field(default_factory=list)

    def sample(self, tally: Tally) -> None:
        now, files = self.clock.monotonic(), tally.backed_up + tally.failed + tally.skipped
        self._samples.append((now, files, tally.copies.bytes_stored, tally.done))
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
        """Seconds left at the present rate; None while the total or the rate is unknown."""
        rate = self._per_second(3)
        if tally.total is None or rate <= 0:
            return None
        return max(0.0, (tally.total - tally.done) / rate)
