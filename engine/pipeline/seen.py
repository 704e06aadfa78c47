"""What can be seen at a glance of those who make copies: of this process, of each worker, of all workers together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.limiting.limiters import Limiters
from engine.pipeline.tally import Tally


@dataclass(slots=True)
class Seen:
    """One process at a glance."""

    in_hand: int = 0
    """Files that it was given and that have not ended."""
    in_flight: int = 0
    limit: int = 0
    """Requests in flight that the destination's limiter allows."""
    rate: float | None = None
    """Requests a second that it allows; None: any."""
    source_limit: int = 0
    """Requests in flight at the narrowest source."""
    source_refuses: bool = False
    """That source has narrowed it."""
    at_source: int = 0
    """Requests that a source serves, or that wait for one."""
    at_destination: int = 0
    files: int = 0
    """Copied since it began."""
    bytes_stored: int = 0
    refusals: int = 0


def seen(limiters: Limiters, tally: Tally, in_hand: int = 0) -> Seen:
    """This process."""
    destination, sources = limiters.destination, limiters.sources
    narrow = min(sources, key=lambda each: each.limit)
    # a body stays open at the source while its last block is written: what is being written is not being read
    bodies = sum(limiter.reading for limiter in sources)
    return Seen(
        in_hand=in_hand,
        in_flight=tally.in_flight,
        limit=destination.limit,
        rate=destination.rate,
        source_limit=narrow.limit,
        source_refuses=narrow.limit < narrow.most and narrow.refusals > 0,
        at_source=sum(map(_load, sources)) + max(0, bodies - destination.in_flight),
        at_destination=_load(destination),
        files=tally.backed_up,
        bytes_stored=tally.copies.bytes_stored,
        refusals=sum(limiter.refusals for limiter in limiters.all),
    )


class Roster:
    """The workers that are there now, by their last signs of life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._heard: dict[str, float] = {}
        self._told: dict[str, int] = {}
        """Files of each when it was last listed."""
        self._refused = 0
        """By workers that are gone."""
        self.in_flight = 0

    def __len__(self) -> int:
        return len(self._seen)

    def beat(self, worker: str, now: Seen) -> None:
        """A sign of life."""
        self._seen[worker], self._heard[worker] = now, self._clock.monotonic()
        self._count()

    def gone(self, worker: str) -> None:
        """It has left, or was lost."""
        if (last := self._seen.pop(worker, None)) is not None:
            self._refused += last.refusals
        self._told.pop(worker, None)
        self._count()

    def _count(self) -> None:
        self.in_flight = sum(each.in_flight for each in self._seen.values())

    def together(self) -> Seen:
        """All of them as one. A rate is known where each has found its own."""
        all_of = list(self._seen.values())
        rates = [each.rate for each in all_of if each.rate is not None]
        return Seen(
            in_hand=sum(each.in_hand for each in all_of),
            in_flight=self.in_flight,
            limit=sum(each.limit for each in all_of),
            rate=sum(rates) if rates and len(rates) == len(all_of) else None,
            source_limit=sum(each.source_limit for each in all_of),
            source_refuses=any(each.source_refuses for each in all_of),
            at_source=sum(each.at_source for each in all_of),
            at_destination=sum(each.at_destination for each in all_of),
            files=sum(each.files for each in all_of),
            bytes_stored=sum(each.bytes_stored for each in all_of),
            refusals=self._refused + sum(each.refusals for each in all_of),
        )

    def listed(self, seconds: float) -> list[dict[str, Any]]:
        """Each for a sample; ``seconds`` since the last one."""
        now, told = self._clock.monotonic(), self._told
        self._told = {name: each.files for name, each in self._seen.items()}
        return [
            {
                "name": name,
                "files_per_s": round((each.files - told.get(name, 0)) / seconds, 1),
                "in_hand": each.in_hand,
                "silent_s": round(now - self._heard[name], 1),
            }
            for name, each in self._seen.items()
        ]


def _load(limiter: Limiter) -> int:
    """Who is being served there, and who waits for that."""
    return limiter.in_flight + limiter.waiting
