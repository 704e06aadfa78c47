"""What crosses from one process to another arrives as it was."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from engine.model.errors import Blocked, EngineError, Fatal, Operation, OwnCopy, Refused, Transient
from engine.model.facts import ContentHeaders, ObjectFacts, Proof
from engine.model.failures import FailureClass
from engine.model.location import Location, Origin
from engine.model.outcome import Attempt, Duplicate, Looked, Outcome, Status
from engine.model.plan import Known, Look, Plan
from engine.model.record import Record

RECORD = Record("a0X", "name", "https://x.test/a", "001", "Acme", "2026-01-01T00:00:00.000Z", (("Vendor__c", "7"),))
PLACE = Location(Origin("https", "x.test", 443), "https://x.test/a", "theirs", "a", "v1", True, 12.5)
FACTS = ObjectFacts(3, "e", "v1", (("sha256", "ab"),), headers=ContentHeaders("text/plain", tags=(("a", "b"),)))
KNOWN = Known(7, Status.FAILED, "network", "u", "o", "k", "m", "a", "n", "r", "s", "d", 3, "etag", size=9)
TWIN = Duplicate("a0Y", "key", 3, "e", "f", "sha256:ab", "ab", Proof.ETAG)
VALUES = [
    RECORD,
    PLACE,
    FACTS,
    Plan(RECORD, PLACE, 1 << 62, "a", "key", "url", TWIN, FACTS, KNOWN, 4, True, 9),
    Look(RECORD, PLACE, 5, KNOWN, 2),
    Outcome(RECORD, Status.FAILED, FailureClass.NETWORK, "why", proof=Proof.SIZE, attempts=2),
    Looked(RECORD, "network", "why", True, 3),
    Attempt("a0X", FailureClass.NETWORK, "why", "url", 1, "now"),
]


def classes(root: type[EngineError]) -> Iterator[type[EngineError]]:
    yield root
    for below in root.__subclasses__():
        yield from classes(below)


@pytest.mark.parametrize("sent", VALUES, ids=lambda sent: type(sent).__name__)
def test_a_value_arrives_equal(sent: object) -> None:
    assert pickle.loads(pickle.dumps(sent)) == sent


@pytest.mark.parametrize("kind", list(classes(EngineError)), ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_its_own_kind_with_all_it_says(kind: type[EngineError]) -> None:
    operation = Operation("COPY", "s3://theirs/a", "s3://ours/a")
    if issubclass(kind, Transient):
        sent: EngineError = kind(
            FailureClass.THROTTLED, "slow down", operation=operation, retry_after_s=2.5, patient=True
        )
    elif issubclass(kind, Refused):
        sent = kind(FailureClass.ARCHIVED, "in a vault")
    elif issubclass(kind, Fatal):
        sent = kind("no login", hint="log in")
    else:
        sent = kind("plain")
    got = pickle.loads(pickle.dumps(sent))
    assert type(got) is kind
    assert str(got) == str(sent)
    assert got.__dict__ == sent.__dict__


def test_a_hint_added_later_crosses_too() -> None:
    sent = Blocked("no bucket", hint="name one")
    sent.add_hint("then start again")
    assert pickle.loads(pickle.dumps(sent)).hint == sent.hint


def test_own_copy_is_a_refusal_after_the_crossing() -> None:
    assert isinstance(pickle.loads(pickle.dumps(OwnCopy(FailureClass.KEY_CONFLICT, "taken"))), Refused)
