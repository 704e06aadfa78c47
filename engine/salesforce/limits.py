"""The org's daily API calls, as every answer tells them."""

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


def limits_in(header: str | None) -> DailyCalls | None:
    """The value of ``Sforce-Limit-Info``; None when absent or in another form. Per-app numbers are passed over."""
    match = _USAGE.search(header or "")
    return DailyCalls(int(match[1]), int(match[2])) if match else None
