"""What is planned for one process, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one call. Kinds of the org's: ``lost``, ``cut``, ``silent``, ``html``, ``bad_gateway``,
    ``unavailable``, ``logged_out``, ``garbled``, ``spent``, ``slow``, ``locators`` (queries are not read on); of the
    store's: ``lost``, ``cut``, ``busy``, ``slow``. ``seconds``: how long it goes on behind the client's back."""

    kind: str
    seconds: float = 0.0


@dataclass(slots=True)
class Incidents:
    """What happens to one process, and around it, by its own steps and calls."""

    kill: int | None = None
    kill_call: int | None = None
    """Killed while this call that reads or writes links is under way, or right after it."""
    power: bool = False
    """The machine goes down with the process that is killed."""
    signals: dict[int, int] = field(default_factory=dict)
    edits: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    """What users do right after a step."""
    org: dict[int, Fault] = field(default_factory=dict)
    """By the number of the call that reads or writes links."""
    scan: dict[int, Fault] = field(default_factory=dict)
    """By the number of any other call."""
    store: dict[int, Fault] = field(default_factory=dict)
    disk: dict[int, str] = field(default_factory=dict)
    """By the number of the operation: ``full`` or ``read-only`` from then on, or ``broken`` once."""
    manner: str = "mixed"
    skew_s: float = 0.0


@dataclass(slots=True)
class Ended:
    """How a process ended: ``reported``, ``refused`` (a Fatal), ``killed``, ``broke`` (any other error), ``stuck``."""

    how: str
    code: int = -1
    report: Any = None
    error: BaseException | None = None
    steps: int = 0
    org_calls: int = 0
    store_calls: int = 0

    @property
    def words(self) -> str:
        return f"{self.how} {self.code}" + (f" {type(self.error).__name__}: {self.error}" if self.error else "")
