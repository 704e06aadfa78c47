"""What becomes of old copies and links: the tables of the module, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.model.change import Event, Held, LinkState
from engine.model.facts import ObjectFacts, Proof, listed_facts
from engine.model.failures import FailureClass
from engine.model.old_copy import Old
from engine.model.outcome import Status
from engine.runs.legacy.deciding import ASK, Judgement, becomes, ends_as, journalled, judge, lost, share, steps, where

ETAG, OTHER = "a" * 32, "b" * 32
OURS = listed_facts(10, ETAG, "STANDARD", "2025-08-14T00:00:00.000Z")
OLD = Old(
    "A", "", "", "https://theirs/x", "k", "https://ours/k", "x", 10, "", "2025-08-14T00:00:00.000Z", "", False, ""
)
TEMPLATE_LINK = "https://ours/encoded"
GOOD = Judgement(Proof.ETAG, ours=OURS, theirs=OURS)
BAD = Judgement(failure=FailureClass.SOURCE_CHANGED, ours=OURS)


@pytest.mark.parametrize(
    ("ours", "theirs", "proof", "failure"),
    [
        (OURS, OURS, Proof.ETAG, None),
        (replace(OURS, etag=f"{ETAG}-3", etag_is_md5=False, etag_parts=3),) * 2 + (Proof.ETAG, None),
        (None, OURS, None, None),
        (OURS, None, None, None),
        (OURS, replace(OURS, etag=OTHER), None, None),
        (OURS, replace(OURS, etag=""), None, None),
        (replace(OURS, storage_class="GLACIER"), OURS, None, None),
        (OURS, replace(OURS, size=11), None, FailureClass.SOURCE_CHANGED),
        (replace(OURS, size=9), OURS, None, FailureClass.KEY_CONFLICT),
    ],
)
def test_listings_prove_equal_etags_and_ask_where_they_do_not_tell(
    ours: ObjectFacts | None, theirs: ObjectFacts | None, proof: Proof | None, failure: FailureClass | None
) -> None:
    found = judge(OLD, ours, theirs)
    assert (found.proof, found.failure) == (proof, failure)
    assert found.open is (proof is None and failure is None)


def test_what_cannot_be_looked_at_is_not_asked_about() -> None:
    refused = OLD._replace(refused="bad_url", why="no host")
    assert judge(refused, OURS, OURS) == Judgement(failure=FailureClass.BAD_URL, message="no host")


@pytest.mark.parametrize(
    ("group", "there", "holder", "keep"),
    [
        ({"A": GOOD}, "", "", "A"),
        ({"A": GOOD, "B": BAD}, "", "", "A"),
        ({"A": GOOD, "B": GOOD}, "", "", "B"),
        ({"A": GOOD, "B": GOOD}, "A", "", "A"),
        ({"A": GOOD, "B": GOOD, "C": GOOD}, "AB", "", "AB"),
        ({"A": GOOD, "B": GOOD}, "", "Z", ""),
        ({"A": GOOD}, "", "Z", ""),
        ({"A": GOOD}, "A", "Z", "A"),
        ({"A": BAD, "B": BAD}, "", "", ""),
    ],
)
def test_a_key_has_one_record_and_those_whose_links_lead_there(
    group: dict[str, Judgement], there: str, holder: str, keep: str
) -> None:
    rows = [(OLD._replace(id=name), judgement) for name, judgement in group.items()]
    states = dict.fromkeys(there, LinkState.OURS)
    found = dict(zip(group, share(rows, states, holder), strict=True))
    assert "".join(name for name, judgement in found.items() if judgement.proof) == keep
    others = [judgement for name, judgement in found.items() if name not in keep]
    wanted = FailureClass.KEY_CONFLICT if holder or keep else FailureClass.SOURCE_CHANGED
    assert {judgement.failure for judgement in others} <= {wanted}


def test_the_latest_copy_gets_the_key() -> None:
    first, last = OLD._replace(id="Z"), OLD._replace(id="A", copied_at="2025-08-15T00:00:00.000Z")
    assert [bool(each.proof) for each in share([(first, GOOD), (last, GOOD)], {})] == [False, True]


@pytest.mark.parametrize(
    ("held", "state"),
    [
        (Held(OLD.link, ""), LinkState.OURS),
        (Held(OLD.url, ""), LinkState.ORIGINAL),
        (Held("", ""), LinkState.EDITED),
        (None, LinkState.GONE),
    ],
)
def test_where_a_link_stands_is_what_salesforce_says_now(held: Held | None, state: LinkState) -> None:
    assert where(OLD, held) is state
    intended, settled = steps(OLD, state, held)
    assert (intended.event, intended.link_state, settled.event, settled.link_state) == (
        Event.INTENDED, None, Event.SETTLED, state,
    )  # fmt: skip
    assert {(each.old, each.new) for each in (intended, settled)} == {(OLD.url, OLD.link)}


@pytest.mark.parametrize(
    ("noted", "state", "known", "told"),
    [
        (True, LinkState.OURS, False, True),
        (True, LinkState.ORIGINAL, False, True),
        (True, LinkState.EDITED, False, True),
        (True, LinkState.GONE, False, True),
        (True, None, False, False),
        (False, LinkState.OURS, False, True),
        (False, LinkState.ORIGINAL, False, False),
        (False, LinkState.EDITED, False, False),
        (True, LinkState.OURS, True, True),
        (True, LinkState.EDITED, True, False),
    ],
)
def test_the_journal_gets_what_was_moved(noted: bool, state: LinkState | None, known: bool, told: bool) -> None:
    assert journalled(OLD._replace(switched=noted), state, known=known) is told


@pytest.mark.parametrize("refused", ["no_url", "already_ours", "bad_url", "host_not_allowed"])
def test_an_original_that_is_lost_or_not_let_in_is_never_put_back(refused: str) -> None:
    old = OLD._replace(switched=True, refused=refused)
    assert lost(old)
    assert not journalled(old, LinkState.OURS)
    row = becomes(old, Judgement(failure=old.failure), LinkState.OURS, TEMPLATE_LINK)
    assert row.copy is None
    assert not lost(OLD._replace(refused="copy_missing"))


@pytest.mark.parametrize(
    ("judgement", "noted", "state", "row", "end"),
    [
        (GOOD, False, None, (Status.BACKED_UP, TEMPLATE_LINK, True), (Status.BACKED_UP, None)),
        (GOOD, True, LinkState.OURS, (Status.BACKED_UP, OLD.link, True), (Status.SWITCHED, None)),
        (GOOD, True, LinkState.ORIGINAL, (Status.BACKED_UP, TEMPLATE_LINK, True), (Status.BACKED_UP, None)),
        (GOOD, True, LinkState.EDITED, (Status.BACKED_UP, TEMPLATE_LINK, True), (Status.PENDING, "drifted")),
        (GOOD, True, LinkState.GONE, (Status.BACKED_UP, TEMPLATE_LINK, True), (Status.GONE, "deleted")),
        (GOOD, False, LinkState.GONE, (Status.GONE, "", False), (Status.GONE, "deleted")),
        (BAD, False, None, (Status.PENDING, "", False), (Status.PENDING, "source_changed")),
        (BAD, True, LinkState.OURS, (Status.PENDING, OLD.link, False), (Status.SWITCHED, None)),
        (ASK, False, None, (Status.PENDING, "", False), (Status.PENDING, "unproved")),
    ],
)
def test_what_becomes_of_a_record(
    judgement: Judgement, noted: bool, state: LinkState | None, row: tuple[Any, ...], end: tuple[Any, ...]
) -> None:
    old = OLD._replace(switched=noted)
    found = becomes(old, judgement, state, TEMPLATE_LINK)
    link = "" if found.copy is None else found.copy.link
    assert (found.status, link, found.proof is not None) == row
    assert ends_as(found, state) == end
    assert found.copy is None or found.copy.verified is (found.copy.proof is not Proof.SIZE)
