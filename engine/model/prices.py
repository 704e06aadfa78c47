"""What S3 charges, as far as a forecast needs it: dated list prices, each of which ``settings.prices`` may replace.

| key             | unit                                      | built in |
|-----------------|-------------------------------------------|----------|
| ``put``         | 1,000 PUT, COPY, POST                     | 0.005    |
| ``list``        | 1,000 LIST                                | 0.005    |
| ``get``         | 1,000 GET, HEAD                           | 0.0004   |
| ``storage``     | GB and month (GB: 2³⁰ bytes, as AWS does) | by class |
| ``transfer``    | GB from the source's region to another    | 0.02     |
| ``internet``    | GB out of AWS, to a machine elsewhere     | 0.09     |
| ``kms``         | 1,000 requests                            | 0.003    |
| ``currency``    |                                           | USD      |
| ``as_of``       | when the prices were looked up            | 2026-11  |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from engine.model.errors import Usage
from engine.model.suggest import nearest

SOURCE = "AWS list prices us-east-1, as known 2026-11; check before relying"

_STORAGE = {
    "STANDARD": 0.023,
    "INTELLIGENT_TIERING": 0.023,
    "STANDARD_IA": 0.0125,
    "ONEZONE_IA": 0.01,
    "GLACIER_IR": 0.004,
    "GLACIER": 0.0036,
    "DEEP_ARCHIVE": 0.00099,
    "REDUCED_REDUNDANCY": 0.024,
}
"""Per GB and month. STANDARD: its first 50 TB."""
_PUT = {"STANDARD_IA": 0.01, "ONEZONE_IA": 0.01, "GLACIER_IR": 0.02, "GLACIER": 0.03, "DEEP_ARCHIVE": 0.05}
"""Per 1,000, where it is not the price of STANDARD."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The table above, for one storage class of the destination."""

    put: float = 0.005
    list: float = 0.005
    get: float = 0.0004
    storage: float = 0.023
    transfer: float = 0.02
    internet: float = 0.09
    kms: float = 0.003
    currency: str = "USD"
    as_of: str = "2026-11"
    source: str = SOURCE


def prices_of(given: Mapping[str, Any], storage_class: str | None) -> Prices:
    """The built-in prices of that storage class, replaced by those of the settings. Raises Usage."""
    name = storage_class or "STANDARD"
    table = Prices(put=_PUT.get(name, 0.005), storage=_STORAGE.get(name, 0.023))
    known = {each.name for each in fields(Prices)} - {"source"}
    chosen: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean prices.{near}?" if near else f"known: {', '.join(sorted(known))}"
            raise Usage(f"prices.{key} is not a price", hint=hint)
        if key in {"currency", "as_of"}:
            chosen[key] = str(value)
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            raise Usage(f"prices.{key} is {value!r}", hint="a price is a number, 0 or more, such as 0.005")
        chosen[key] = float(value)
    if chosen:
        chosen["source"] = f"settings.prices ({', '.join(sorted(chosen))}); the rest: {SOURCE}"
    return replace(table, **chosen)
