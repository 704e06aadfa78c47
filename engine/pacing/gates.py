"""The gates of a run: one for each side of S3, one for each other host."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.pacing.clock import Clock
from engine.pacing.gate import Gate


@dataclass
class Gates:
    """``most``: requests in flight at most, per gate."""

    clock: Clock
    most: int
    source: Gate = field(init=False)
    destination: Gate = field(init=False)

    def __post_init__(self) -> None:
        self.source = Gate(self.clock, most=self.most)
        self.destination = Gate(self.clock, most=self.most)
        self._hosts: dict[str, Gate] = {}

    def host(self, name: str) -> Gate:
        """The gate of a source that is read over plain http."""
        gate = self._hosts.get(name)
        if gate is None:
            gate = self._hosts[name] = Gate(self.clock, most=self.most)
        return gate

    @property
    def sources(self) -> list[Gate]:
        """Everything that files are read from."""
        return [self.source, *self._hosts.values()]

    @property
    def all(self) -> list[Gate]:
        return [self.destination, *self.sources]
