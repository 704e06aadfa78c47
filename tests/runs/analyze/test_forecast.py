"""Time, requests and cost from counts."""

from __future__ import annotations

import pytest

from engine.model.byte_units import GIB
from engine.model.estimate import Interval
from engine.model.facts import Method
from engine.model.prices import Prices
from engine.runs.analyze.forecast import ASSUMED, Forecast, Surroundings, Throughput, Work, forecast

exactly = Interval.exactly


def made(work: Work, paces: dict[Method, Throughput] | None = None, **around: object) -> Forecast:
    return forecast([work], Surroundings(**{"records": 10_000, **around}), paces or {}, Prices())  # type: ignore[arg-type]


def copies(files: float = 10_000, size: Interval | None = None, **more: float | bool) -> Work:
    size = size or exactly(1e9)
    return Work(Method.SERVER_COPY, files, 0, size, size, **more)  # type: ignore[arg-type]


def streams(files: float, size: Interval | None, **more: float) -> Work:
    return Work(Method.STREAM, files, 0, size, size, **more)  # type: ignore[arg-type]


def test_without_measured_runs_assumptions_are_stated() -> None:
    found = made(copies())

    assert found.seconds == exactly(10_000 / 1500)
    assert found.bases == [f"server_copy: {ASSUMED[Method.SERVER_COPY].basis}"]
    assert "assumed" in found.bases[0]


def test_measured_runs_beat_assumptions() -> None:
    found = made(copies(), {Method.SERVER_COPY: Throughput(100, None, "measured: …", measured=True)})

    assert found.seconds == exactly(100)
    assert found.bases == ["server_copy: measured: …"]


def test_bytes_decide_where_they_pass_this_machine_and_the_interval_stays_one() -> None:
    found = made(streams(1000, Interval(1e12, 0.8e12, 1.5e12)))

    assert found.seconds == Interval(10_000, 8_000, 15_000)
    assert found.because == "the bytes decide"


def test_a_bandwidth_cap_is_a_cap() -> None:
    assert made(streams(10, exactly(1e9)), bandwidth=1e6).seconds == exactly(1000)


def test_unknown_bytes_make_the_time_unknown_only_where_they_pass_here() -> None:
    assert made(streams(10, None)).seconds is None
    assert made(Work(Method.SERVER_COPY, 1500, 0, None)).seconds == exactly(1)


def test_reading_records_bounds_the_time() -> None:
    found = made(copies(files=10), records=1_000_000, scan_records_s=1000)

    assert found.seconds == exactly(1000)
    assert found.because == "reading the records decides"


def test_requests_of_server_copies() -> None:
    listed = made(copies(large=2, parts=40, listed=True), listed_objects=10_500)
    asked = made(copies())

    assert listed.requests == {"LIST": 11, "HEAD": 2, "COPY": 10_038, "POST": 4}
    assert asked.requests == {"HEAD": 10_000, "COPY": 10_000}


def test_requests_of_streams_and_duplicates() -> None:
    found = made(Work(Method.STREAM, 100, 7, exactly(1), exactly(1), large=1, parts=4))

    assert found.requests == {"HEAD": 7, "GET": 100, "COPY": 7, "PUT": 103, "POST": 2}


def test_salesforce_calls_and_their_share_of_a_day() -> None:
    found = made(copies(), records=1_300_000, switchable=1_300_000, api_calls_a_day=70_000)

    assert found.salesforce_calls == {"backup": 655, "switch": 13_000}
    assert found.api_share == pytest.approx(13_655 / 70_000, abs=1e-4)


def test_costs_follow_requests_bytes_and_regions() -> None:
    near = made(copies(files=1000, size=exactly(100 * GIB)))
    far = made(copies(files=1000, size=exactly(100 * GIB)), same_region=False, kms=True)

    assert near.costs == {"requests": exactly((1000 * 0.005 + 1000 * 0.0004) / 1000)}
    assert near.monthly == exactly(pytest.approx(2.3))
    assert far.costs["transfer between regions"] == exactly(pytest.approx(2.0))
    assert far.costs["kms"] == exactly(2000 * 0.003 / 1000)
    assert near.outside is None
    assert made(streams(1, exactly(GIB))).outside == exactly(pytest.approx(0.09))


def test_unknown_bytes_make_the_cost_unknown_and_not_nought() -> None:
    document = forecast(
        [Work(Method.SERVER_COPY, 10, 0, None)], Surroundings(10, same_region=False), {}, Prices()
    ).as_json()

    assert document["cost"]["once"]["transfer between regions"] is None
    assert document["cost"]["once_total"] is None
    assert document["cost"]["storage_per_month"] is None
