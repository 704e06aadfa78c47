"""The org's daily API calls, as every answer states them, and the share of them that we may use."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.model.errors import Paused

URGENT_SHARE = 0.95
"""Of the org's allowance: how far a rollback goes, whatever ``salesforce.api_budget`` says. The rest is for others."""
_USAGE = re.compile(r"(?<!per-app-)api-usage=(\d{1,15})/(\d{1,15})(?!\d)")


@dataclass(frozen=True, slots=True)
class DailyCalls:
    """Calls of the last 24 hours, by everyone in the org, and the allowance. ``used`` may exceed ``allowed``."""

    used: int
    allowed: int

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.used)

    def spent(self, budget: float, *, under_way: int = 0) -> bool:
        """Whether the share ``budget`` (0 to 1) of the allowance is used up.

        ``under_way``: calls sent and not answered yet, which may not be counted in ``used``.
        """
        return self.allowed > 0 and self.used + under_way >= budget * self.allowed

    def check(self, budget: float, *, under_way: int = 0, urgent: bool = False) -> None:
        """Raise Paused when that share is used up. ``urgent``: it is not that of the settings."""
        if not self.spent(budget, under_way=under_way):
            return
        stops = "a rollback stops" if urgent else "salesforce.api_budget stops us"
        raise Paused(
            f"the org has used {self.used:,} of its {self.allowed:,} daily Salesforce API calls, "
            f"and {stops} at {budget:.0%}",
            hint="Start the same command again later (calls count for 24 hours)"
            + ("." if urgent else ", or raise salesforce.api_budget."),
        )


class CallBudget:
    """Holds each call against ``share`` of the org's allowance (0 to 1)."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._urgent = False
        self.known: DailyCalls | None = None
        """As the answers stated them; None before the first."""
        self._sent = 0
        self._sent_when_known = 0

    def make_urgent(self) -> None:
        """From now on calls go on to URGENT_SHARE."""
        self._urgent = self._share < URGENT_SHARE

    @property
    def overdrawn(self) -> str:
        """For a person: that the share is used up, and what is left all the same; empty: it is not."""
        known = self.known
        if not self._urgent or known is None or not known.spent(self._share):
            return ""
        left = max(0, int(URGENT_SHARE * known.allowed) - known.used)
        budget = f"salesforce.api_budget ({self._share:.0%} of {known.allowed:,} daily calls) is used up"
        goes_on = f"it goes on to {URGENT_SHARE:.0%}, and {left:,} calls are left until then"
        return f"{budget}. That does not stop a rollback: {goes_on}"

    def take(self, *, under_way: int) -> int:
        """The number of a call that is sent now, beside others ``under_way``. Raises Paused when none is left."""
        if self.known is not None:
            share = URGENT_SHARE if self._urgent else self._share
            self.known.check(share, under_way=under_way, urgent=self._urgent)
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
