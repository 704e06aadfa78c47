"""Outcomes for tests, in one line each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.model.facts import Method, Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Outcome, Status
from engine.model.record import Record


def record_id(number: int) -> str:
    """An 18-character id."""
    return f"a0B{number:015d}"


def a_record(number: int, **changes: Any) -> Record:
    """A record of one of seven accounts."""
    return replace(
        Record(
            id=record_id(number),
            name=f"Doc {number}",
            url=f"https://vendor.example/docs/{number}.pdf",
            account_id=f"001{number % 7:015d}",
            account_name=f"Account {number % 7}",
            modified="2026-11-22T10:00:00.000Z",
        ),
        **changes,
    )


def copied(number: int, **changes: Any) -> Outcome:
    """A proved copy."""
    return replace(
        Outcome(
            a_record(number),
            Status.BACKED_UP,
            key=f"uploads/{number}.pdf",
            url=f"https://ours.example/uploads/{number}.pdf",
            file_name=f"{number}.pdf",
            source_id=1000 + number,
            size=100 + number,
            method=Method.SERVER_COPY,
            source_etag=f"s{number}",
            destination_etag=f"d{number}",
            checksum="sha256:" + "ab" * 32,
            sha256="ab" * 32,
            proof=Proof.CHECKSUM,
            attempts=1,
            at="2026-11-22T10:00:01.000Z",
        ),
        **changes,
    )


def failed(number: int, failure: FailureClass = FailureClass.NETWORK, **changes: Any) -> Outcome:
    """A record that could not be copied."""
    outcome = Outcome(a_record(number), Status.FAILED, failure, "it did not work", attempts=1)
    return replace(outcome, **changes)
