"""What was slow in a run: Salesforce, the source, the destination, the disk, or this process? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BUSY = 0.85
"""Of one core: beyond this, used or blocked, everything waits for the event loop."""


def slowest(shares: Mapping[str, Any]) -> tuple[str, str]:
    """What was slowest, as one word, and why, for a person."""
    workers, feed, cpu = shares["workers"], shares["feed"], shares["cpu"]
    if cpu + shares["blocked"] >= BUSY:
        held = f", and was blocked {_percent(shares['blocked'])} of the time" if shares["blocked"] >= 0.1 else ""
        return "us", f"this process used {_percent(cpu)} of a core{held}"
    if workers["disk"] >= 0.3:
        return "disk", f"the tracking DB was committing {_percent(shares['commits'])} of the time"
    if workers["plans"] >= 0.5:
        if feed["salesforce"] >= feed["own"]:
            return "salesforce", f"workers waited for records {_percent(workers['plans'])} of their time"
        return "us", f"workers waited for plans {_percent(workers['plans'])} of their time"
    if workers["own"] > workers["source"] + workers["destination"]:
        return "us", f"copies waited for cores, or for a free worker, {_percent(workers['own'])} of their time"
    who = max(("source", "destination"), key=lambda name: workers[name])
    refused = f"; it refused {shares['refusals']:,} requests" if shares["refusals"] else ""
    return who, f"workers waited for it {_percent(workers[who])} of their time{refused}"


def line(shares: Mapping[str, Any]) -> str:
    """The same on one line, with all shares."""
    who, why = slowest(shares)
    parts = {"Salesforce": shares["workers"]["plans"] * shares["feed"]["salesforce"]}
    parts |= {name: shares["workers"][name] for name in ("source", "destination", "disk")}
    shown = ", ".join(f"{name} {_percent(share)}" for name, share in parts.items())
    return f"{'Salesforce' if who == 'salesforce' else who}: {why} ({shown}, CPU {_percent(shares['cpu'])})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
