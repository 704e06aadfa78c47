"""What is slow: Salesforce, the source, the destination, the disk, or us? Pure: from the shares of a run to a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BUSY = 0.85
"""Of one core, used or withheld: beyond this the event loop is what everything waits for."""


def slowest(shares: Mapping[str, Any]) -> tuple[str, str]:
    """Who, as one word, and why, for a person."""
    workers, feed, cpu = shares["workers"], shares["feed"], shares["cpu"]
    if cpu + shares["blocked"] >= BUSY:
        held = f", and was held up {_percent(shares['blocked'])} of the time" if shares["blocked"] >= 0.1 else ""
        return "us", f"this process used {_percent(cpu)} of a core{held}"
    if workers["disk"] >= 0.3:
        return "disk", f"the tracking DB was committing {_percent(shares['commits'])} of the time"
    if workers["plans"] >= 0.5:
        if feed["salesforce"] >= feed["own"]:
            return "salesforce", f"workers waited for records {_percent(workers['plans'])} of their time"
        return "us", f"workers waited for plans {_percent(workers['plans'])} of their time"
    who = max(("source", "destination"), key=lambda name: workers[name])
    refused = f"; it refused {shares['refusals']:,} requests" if shares["refusals"] else ""
    return who, f"workers waited for it {_percent(workers[who])} of their time{refused}"


def line(shares: Mapping[str, Any]) -> str:
    """All of it on one line."""
    who, why = slowest(shares)
    parts = {"Salesforce": shares["workers"]["plans"] * shares["feed"]["salesforce"]}
    parts |= {name: shares["workers"][name] for name in ("source", "destination", "disk")}
    told = ", ".join(f"{name} {_percent(share)}" for name, share in parts.items())
    return f"{'Salesforce' if who == 'salesforce' else who}: {why} ({told}, CPU {_percent(shares['cpu'])})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
