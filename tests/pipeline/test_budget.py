"""The error budget: what counts as news of the environment, and when it is spent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.failures import FailureClass
from engine.model.outcome import Outcome, Status
from engine.model.plan import Look, Plan
from engine.pipeline.budget import ErrorBudget
from tests.support.pipeline import known, plan


def denied(number: int, tries: int = 1) -> Outcome:
    return Outcome(plan(number).record, Status.FAILED, FailureClass.SOURCE_DENIED, attempts=tries)


def failed_before(number: int) -> Plan:
    return plan(number, known=known(denied(number)))


def look(number: int, *, unseen: str) -> Look:
    row = known(denied(number))._replace(status=Status.BACKED_UP, unseen=unseen)
    return Look(plan(number).record, plan(number).source, 1, row)


@pytest.mark.parametrize(
    ("new", "known_before", "shared", "spent"), [(2, 0, 0, False), (3, 0, 0, True), (2, 9, 0, False), (2, 0, 9, False)]
)
def test_only_news_counts(new: int, known_before: int, shared: int, spent: bool) -> None:
    budget = ErrorBudget(0.2, window=10)
    for number in range(8):
        budget.count(plan(number), replace(denied(number), status=Status.BACKED_UP, failure=None))
    for number in range(known_before):
        budget.count(failed_before(number), denied(number))
        budget.count(look(number, unseen="network"), look(number, unseen="network").stands("network"))
    for number in range(shared):
        budget.count(plan(number), denied(number, tries=0))
    for number in range(new):
        budget.count(plan(number), denied(number))

    assert budget.spent is spent


def test_sources_that_could_be_looked_at_before_and_cannot_now_are_news() -> None:
    budget = ErrorBudget(0.2, window=3)
    for number in range(3):
        assert not budget.spent
        budget.count(look(number, unseen=""), look(number, unseen="").stands("network"))

    assert budget.spent


def test_what_a_source_lacks_says_nothing_of_the_environment() -> None:
    budget = ErrorBudget(0.0, window=1)
    budget.count(look(1, unseen=""), look(1, unseen="").stands("source_missing"))
    budget.count(plan(1), replace(denied(1), failure=FailureClass.SOURCE_MISSING))

    assert not budget.spent
