"""The limiters of a run: one for each side of S3, and one for each plain http host. The org's is in its session."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter


@dataclass
class Limiters:
    """``most``: requests in flight at most, per limiter. ``workers``: among so many processes the hosts
    are shared."""

    clock: Clock
    most: int
    workers: int = 1
    source: Limiter = field(init=False)
    destination: Limiter = field(init=False)

    def __post_init__(self) -> None:
        self.source = self._limiter()
        self.destination = self._limiter()
        self._hosts: dict[str, Limiter] = {}

    def _limiter(self) -> Limiter:
        return Limiter(self.clock, most=self.most, of=self.workers)

    def host(self, name: str) -> Limiter:
        """The limiter of a source that is read over plain http."""
        limiter = self._hosts.get(name)
        if limiter is None:
            limiter = self._hosts[name] = self._limiter()
        return limiter

    @property
    def sources(self) -> list[Limiter]:
        """Of all hosts that files are read from."""
        return [self.source, *self._hosts.values()]

    @property
    def all(self) -> list[Limiter]:
        return [self.destination, *self.sources]
