"""The error budget: when too many of the last outcomes failed for reasons of the environment, going on does harm."""

from __future__ import annotations

from collections import deque

from engine.model.failures import BUDGETED, FailureClass

WINDOW = 1000


class ErrorBudget:
    """Counts the last 1,000 outcomes; spent when more than ``share`` of them failed with a budgeted class."""

    def __init__(self, share: float, window: int = WINDOW) -> None:
        self._share = share
        self._window: deque[bool] = deque(maxlen=window)
        self._failed = 0

    def count(self, failure: FailureClass | None) -> None:
        """Take one more outcome into account."""
        if len(self._window) == self._window.maxlen and self._window[0]:
            self._failed -= 1
        hit = failure in BUDGETED
        self._window.append(hit)
        self._failed += hit

    @property
    def spent(self) -> bool:
        """Never before the window is full."""
        return len(self._window) == self._window.maxlen and self._failed > self._share * len(self._window)

    def __str__(self) -> str:
        return f"{self._failed} of the last {len(self._window)} files failed for reasons of the environment"
