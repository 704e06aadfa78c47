"""The error budget: when too many of the last outcomes failed for reasons of the environment, going on does harm.

Only what is news counts. A record that failed before and is tried again tells nothing new of the environment, however
it ends; one that shares the failure of another's source has asked nothing.
"""

from __future__ import annotations

from collections import deque

from engine.model.failures import BUDGETED
from engine.model.outcome import Looked, Outcome, Status
from engine.model.plan import Plan, Work

WINDOW = 1000


class ErrorBudget:
    """Counts the last 1,000 outcomes; spent when more than ``share`` of them failed with a budgeted class."""

    def __init__(self, share: float, window: int = WINDOW) -> None:
        self._share = share
        self._window: deque[bool] = deque(maxlen=window)
        self._failed = 0

    def count(self, work: Work, outcome: Outcome | Looked) -> None:
        """Take the end of one record into account, where it is news."""
        if _known(work) or (isinstance(outcome, Outcome) and not outcome.attempts):
            return
        failure = outcome.unseen if isinstance(outcome, Looked) else outcome.failure
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
        return f"{self._failed} of the last {len(self._window)} files failed because of the environment"


def _known(work: Work) -> bool:
    row = work.known
    if row is None:
        return False
    return row.status is Status.FAILED if isinstance(work, Plan) else bool(row.unseen)
