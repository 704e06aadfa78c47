"""How far the backup has come, in words for a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.limiting.clock import MINUTE, TIME, for_people
from engine.runs.shared.report import duration

UNKNOWN = "nobody has counted the records in scope yet"


def scope_line(scope: Mapping[str, Any]) -> str:
    """How many records there are, and whether that is certain."""
    records, counted = scope["records"], for_people(scope["counted_at"], MINUTE) if scope["counted_at"] else ""
    if scope["complete"]:
        return f"{records:,} records; the full scan was complete at {counted}"
    if scope["scan"] == "none":
        return f"{UNKNOWN}: no full scan has begun"
    if records is None:
        return f"{scope['known']:,} records seen; the full scan is not complete, and {UNKNOWN}"
    return f"{records:,} records, counted at {counted}; the full scan is not complete"


def of_scope(part: int, scope: Mapping[str, Any]) -> str:
    """A share of all records in scope; empty where nobody knows how many they are."""
    return share(part, scope["records"])


def share(part: float, whole: float | None) -> str:
    """In percent; empty where there is nothing to have a share of."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def run_line(progress: Mapping[str, Any]) -> str:
    """Of a run that is under way."""
    done, total, rates = progress["done"], progress["total"], progress["files_per_s"]
    parts = [f"{done:,} / {total:,}, {100 * done / total:.0f} %" if total else f"{done:,} records"]
    rate = next((rates[name] for name in ("now", "five_minutes", "run") if rates[name] is not None), None)
    if rate is not None:
        parts.append(f"{rate:,.0f}/s")
    if (left := progress["seconds_left"]) is not None:
        around = "" if left["least"] == left["most"] else f" ({duration(left['least'])} to {duration(left['most'])})"
        parts.append(f"about {duration(left['likely'])} left{around}")
    return f"{', '.join(parts)}, running as pid {progress['pid']}"


def workers_line(trend: Sequence[Mapping[str, Any]]) -> str:
    """The workers of the last run, by its latest sample; empty where it had none, or has none left."""
    workers = trend[-1].get("workers") if trend else None
    if not workers:
        return ""
    files = sum(each["files_per_s"] for each in workers)
    in_hand = sum(each["in_hand"] for each in workers)
    quiet = max(workers, key=lambda each: each["silent_s"])
    return (
        f"{len(workers)}, {files:,.0f} files/s, {in_hand:,} in hand; longest without a sign of life: "
        f"{quiet['name']}, {quiet['silent_s']:,.0f} s (at {for_people(trend[-1]['at'], TIME)})"
    )
