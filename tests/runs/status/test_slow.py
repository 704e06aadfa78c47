"""Who is slow, told from the shares of a run."""

from __future__ import annotations

from typing import Any

import pytest

from engine.runs.status.slow import line, slowest


def shares(**told: Any) -> dict[str, Any]:
    workers = {"plans": 0.0, "source": 0.0, "destination": 0.0, "disk": 0.0, "own": 0.0}
    feed = {"salesforce": 0.0, "room": 1.0, "own": 0.0}
    base = {"workers": workers, "feed": feed, "commits": 0.1, "cpu": 0.3, "blocked": 0.0, "refusals": 0}
    for name, value in told.items():
        (workers if name in workers else feed if name in {"salesforce", "room"} else base)[name] = value
    return base


@pytest.mark.parametrize(
    ("told", "who"),
    [
        ({"plans": 0.8, "salesforce": 0.9}, "salesforce"),
        ({"plans": 0.8}, "us"),
        ({"destination": 0.9, "cpu": 0.97}, "us"),
        ({"destination": 0.9}, "destination"),
        ({"source": 0.6, "destination": 0.4}, "source"),
        ({"disk": 0.5, "destination": 0.5}, "disk"),
        ({"destination": 0.9, "commits": 0.95}, "destination"),
        ({"destination": 0.9, "cpu": 0.7, "blocked": 0.25}, "us"),
        ({"own": 0.9, "destination": 0.02}, "us"),
    ],
)
def test_the_slowest_part_is_named(told: dict[str, float], who: str) -> None:
    if told == {"plans": 0.8}:
        told_shares = shares(**told)
        told_shares["feed"] = {"salesforce": 0.1, "room": 0.0, "own": 0.9}
    else:
        told_shares = shares(**told)

    assert slowest(told_shares)[0] == who


def test_the_line_names_refusals_and_all_the_shares() -> None:
    told = line(shares(destination=0.9, refusals=1234))

    assert told.startswith("destination: workers waited for it 90 % of their time; it refused 1,234 requests")
    assert told.endswith("(Salesforce 0 %, source 0 %, destination 90 %, disk 0 %, CPU 30 %)")
