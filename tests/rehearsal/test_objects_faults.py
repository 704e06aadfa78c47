"""Which request a rule hits, and what is left of the answer."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.rehearsal.object_faults import Answer, Fault, FaultBook, spoil


def _hits(rule: Fault, requests: list[tuple[str, str]]) -> list[bool]:
    book = FaultBook()
    book.put([rule])
    return [book.decide(method, target, {}) is not None for method, target in requests]


@pytest.mark.parametrize(
    ("rule", "hit"),
    [
        (Fault("reset"), True),
        (Fault("reset", method="PUT|POST"), True),
        (Fault("reset", method="P"), False),
        (Fault("reset", path=r"^/dst/.*partNumber=2"), True),
        (Fault("reset", path=r"^/src/"), False),
        (Fault("reset", header=r"^x-amz-copy-source: src/"), True),
        (Fault("reset", header=r"^range:"), False),
    ],
)
def test_a_rule_is_about_method_target_and_headers(rule: Fault, hit: bool) -> None:
    assert rule.matches("PUT", "/dst/a?uploadId=x&partNumber=2", {"x-amz-copy-source": "src/a"}) is hit


def test_nth_counts_matching_requests_only() -> None:
    requests = [("GET", "/a"), ("PUT", "/a"), ("GET", "/b"), ("GET", "/c")]

    assert _hits(Fault("reset", method="GET", nth=(1, 3)), requests) == [True, False, False, True]


def test_times_ends_a_rule() -> None:
    assert _hits(Fault("reset", times=2), [("GET", "/a")] * 4) == [True, True, False, False]


def test_a_rate_hits_about_its_share_and_the_same_requests_in_any_order() -> None:
    requests = [("GET", f"/src/{number}") for number in range(2_000)]
    shuffled = random.Random(1).sample(requests, len(requests))
    rule = Fault("reset", rate=0.1, seed=7)

    hit = {request for request, fires in zip(requests, _hits(rule, requests), strict=True) if fires}
    hit_shuffled = {request for request, fires in zip(shuffled, _hits(rule, shuffled), strict=True) if fires}

    assert 150 < len(hit) < 250
    assert hit == hit_shuffled


def test_a_retry_of_the_same_target_draws_again() -> None:
    fires = _hits(Fault("reset", rate=0.5, seed=3), [("GET", "/a")] * 40)

    assert 5 < sum(fires) < 35


def test_another_seed_hits_others() -> None:
    requests = [("GET", f"/src/{number}") for number in range(200)]

    assert _hits(Fault("reset", rate=0.3, seed=1), requests) != _hits(Fault("reset", rate=0.3, seed=2), requests)


def test_the_first_rule_that_fires_decides() -> None:
    book = FaultBook()
    book.put([Fault("reset", times=1), Fault("slow_down")])

    kinds = [fault.kind for _ in range(3) if (fault := book.decide("GET", "/a", {}))]

    assert kinds == ["reset", "slow_down", "slow_down"]
    assert [(rule["met"], rule["fired"]) for rule in book.report()] == [(3, 1), (2, 2)]


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "reset", "rate": 2}, {"kind": "nonsense"}, {"kind": "reset", "path": "("}, {"kind": "reset", "x": 1}],
)
def test_a_rule_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Fault.from_json(wrong)


GOOD = Answer(200, (("ETag", '"abc"'),), b"<r><ETag>abc</ETag></r>")


def test_a_flipped_byte_changes_exactly_one_bit() -> None:
    spoilt = spoil(Fault("flipped_byte", at=3), GOOD)

    assert spoilt.headers == GOOD.headers
    assert [(a ^ b) for a, b in zip(spoilt.body, GOOD.body, strict=True)] == [0, 0, 0, 1] + [0] * 19


def test_a_false_etag_stands_in_header_and_document() -> None:
    spoilt = spoil(Fault("wrong_etag"), GOOD)

    assert dict(spoilt.headers)["ETag"] == f'"{"0" * 32}"'
    assert b"abc" not in spoilt.body


def test_a_cut_lies_in_the_middle_unless_told() -> None:
    assert (spoil(Fault("truncated_body"), GOOD).cut, spoil(Fault("truncated_body", at=1), GOOD).cut) == (11, 1)


def test_slow_down_says_how_long_to_wait_where_the_rule_does() -> None:
    assert dict(spoil(Fault("slow_down", retry_after=3), GOOD).headers)["Retry-After"] == "3"
    assert "Retry-After" not in dict(spoil(Fault("slow_down"), GOOD).headers)
