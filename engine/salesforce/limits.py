"""The org's daily API calls, as every answer states them, and the share of them that we may use."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.model.errors import Paused

_USAGE = re.compile(r"(?<!per-app-)api-usage=(\d{1,15})/(\d{1,15})(?!\d)")


@dataclass(frozen=True, slots=True)
class DailyCalls:
    """Calls of the last 24 hours, by everyone in the org, and the allowance. ``used`` may exceed ``allowed``."""

    used: int
    allowed: int

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.used)

    def check(self, budget: float, *, under_way: int = 0) -> None:
        """Raise Paused when the share ``budget`` (0 to 1) of the allowance is used up.

        ``under_way``: calls sent and not answered yet, which may not be counted in ``used``.
        """
        if self.allowed > 0 and self.used + under_way >= budget * self.allowed:
            raise Paused(
                f"the org has used {self.used:,} of its {self.allowed:,} daily Salesforce API calls, "
                f"and salesforce.api_budget stops us at {budget:.0%}",
                hint="Start the same command again later (calls count for 24 hours), or raise salesforce.api_budget.",
            )


class CallBudget:
    """Holds each call against ``share`` of the org's allowance (0 to 1)."""

    def __init__(self, share: float) -> None:
        self._share = share
        self.known: DailyCalls | None = None
        """As the answers stated them; None before the first."""
        self._sent = 0
        self._sent_when_known = 0

    def take(self, *, under_way: int) -> int:
        """The number of a call that is sent now, beside others ``under_way``. Raises Paused when none is left."""
        if self.known is not None:
            self.known.check(self._share, under_way=under_way)
        self._sent += 1
        return self._sent

    def learn(self, header: str | None, number: int) -> None:
        """Take in what the answer to call ``number`` stated. An answer to an older call counts only where it states
        more."""
        stated, known = limits_in(header), self.known
        if stated is not None and (known is None or number > self._sent_when_known or stated.used > known.used):
            self.known, self._sent_when_known = stated, self._sent


def limits_in(header: str | None) -> DailyCalls | None:
    """The value of ``Sforce-Limit-Info``; None when absent or in another form. Per-app numbers are skipped."""
    match = _USAGE.search(header or "")
    return DailyCalls(int(match[1]), int(match[2])) if match else None
