"""List prices, and what settings put in their place."""

from __future__ import annotations

import pytest

from engine.model.errors import Usage
from engine.model.prices import SOURCE, prices_of


def test_built_in_prices_say_from_when_they_are() -> None:
    prices = prices_of({}, None)

    assert (prices.put, prices.get, prices.storage) == (0.005, 0.0004, 0.023)
    assert prices.source == SOURCE
    assert "2026-11" in SOURCE
    assert "check before relying" in SOURCE


def test_the_storage_class_has_prices_of_its_own() -> None:
    prices = prices_of({}, "STANDARD_IA")

    assert (prices.put, prices.storage) == (0.01, 0.0125)


def test_settings_beat_the_built_in_ones_and_are_named() -> None:
    prices = prices_of({"put": 0.006, "currency": "EUR", "as_of": "2027-01"}, None)

    assert (prices.put, prices.get, prices.currency, prices.as_of) == (0.006, 0.0004, "EUR", "2027-01")
    assert prices.source.startswith("settings.prices (as_of, currency, put)")


def test_an_unknown_price_names_the_nearest() -> None:
    with pytest.raises(Usage, match=r"prices\.storag ") as refused:
        prices_of({"storag": 1}, None)

    assert refused.value.hint == "did you mean prices.storage?"


@pytest.mark.parametrize("value", ["cheap", -1, True, None, float("inf")])
def test_a_price_is_a_number(value: object) -> None:
    with pytest.raises(Usage, match=r"prices\.put"):
        prices_of({"put": value}, None)
