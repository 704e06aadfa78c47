"""How long a backup takes, and what it costs, in the answer of ``engine analyze``."""

from __future__ import annotations

from typing import TypedDict

from engine.model.answers.shared import Interval


class SalesforceCalls(TypedDict):
    """Salesforce calls."""

    backup: int
    """Of a full backup."""
    switch: int
    """Of a switch of all."""


class Cost(TypedDict):
    """What it costs. An interval is `null` where bytes are not known."""

    currency: str
    """As in the settings."""
    prices_as_of: str
    """The month of the prices."""
    prices_from: str
    """Where the prices come from."""
    once: dict[str, Interval | None]
    """By what is paid for."""
    once_total: Interval | None
    """All that is paid once."""
    if_this_machine_is_outside_aws: Interval | None
    """What the bytes cost on their way out of AWS."""
    storage_per_month: Interval | None
    """What is paid every month."""


class ForecastOf(TypedDict):
    """How long it takes, and what it costs."""

    seconds: Interval | None
    """`null`: not known."""
    because: str
    """What decides the time."""
    bases: list[str]
    """Measured runs, or stated assumptions."""
    salesforce_calls: SalesforceCalls
    share_of_daily_calls: float | None
    """Of what the settings allow."""
    s3_requests: dict[str, int]
    """By kind."""
    cost: Cost
