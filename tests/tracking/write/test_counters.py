"""Counters that equal a count of the rows, always."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.facts import Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Attempt, Batch, Outcome, Status, Touch
from engine.tracking.db import schema
from engine.tracking.db.database import transaction
from engine.tracking.write import outcomes
from tests.support.outcomes import a_record, copied, failed, record_id

NUMBERS = st.integers(1, 9)
OUTCOMES = st.one_of(
    st.builds(
        lambda n, size, proof: copied(n, size=size, proof=proof), NUMBERS, st.integers(0, 9), st.sampled_from(Proof)
    ),
    st.builds(lambda n, s: copied(n, status=s), NUMBERS, st.sampled_from([Status.SWITCHED, Status.ROLLED_BACK])),
    st.builds(failed, NUMBERS, st.sampled_from(list(FailureClass)[:4])),
    st.builds(
        lambda n: failed(n, size=10**6, record=a_record(n, url=f"https://ours.example/uploads/{n}.pdf")), NUMBERS
    ),
    st.builds(lambda n: Outcome(a_record(n), Status.SKIPPED, FailureClass.TOO_LARGE, size=7), NUMBERS),
    st.builds(lambda n: Outcome(a_record(n), Status.PENDING, FailureClass.DRIFTED), NUMBERS),
    st.builds(lambda n: Outcome(a_record(n), Status.PENDING), NUMBERS),
)
STEPS = st.lists(
    st.one_of(
        st.builds(
            lambda found, touched: Batch(found, [Touch(a_record(n)) for n in touched]),
            st.lists(OUTCOMES, max_size=12),
            st.lists(NUMBERS, max_size=2),
        ),
        st.lists(NUMBERS, max_size=4).map(lambda numbers: [record_id(n) for n in numbers]),
    ),
    max_size=12,
)
TRUTH = (
    "SELECT status, coalesce(failure_class, ''), coalesce(proof, ''), count(*), coalesce(sum(file_size_bytes), 0)"
    " FROM file_migrations GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)


def fresh() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    return db


def store(db: sqlite3.Connection, batch: Batch, run_id: int = 1) -> None:
    transaction(db, lambda c: outcomes.record(c, batch, run_id=run_id, scan_id=None, now="2026-11-22T10:00:00.000Z"))


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_counters_equal_the_rows_after_any_history(steps: list[Batch | list[str]]) -> None:
    with closing(fresh()) as db:
        for step in steps:
            if isinstance(step, Batch):
                store(db, step)
            else:
                transaction(db, lambda c, ids=step: outcomes.mark_gone(c, ids, run_id=1, now="t"))  # type: ignore[misc]
            counters = db.execute("SELECT * FROM counters WHERE files > 0 ORDER BY 1, 2, 3").fetchall()

            assert counters == db.execute(TRUTH).fetchall()
        assert (
            db.execute("SELECT coalesce(sum(files), 0) FROM counters").fetchone()
            == db.execute("SELECT count(*) FROM file_migrations").fetchone()
        )


def test_a_batch_that_fails_midway_leaves_rows_counters_and_errors_as_they_were() -> None:
    with closing(fresh()) as db:
        store(db, Batch([copied(1), failed(2)]))
        before = list(db.iterdump())
        with pytest.raises(sqlite3.IntegrityError):
            store(db, Batch([copied(3), failed(4), copied(5, key="")]))

        assert list(db.iterdump()) == before


def test_created_date_stays_and_updated_date_moves() -> None:
    with closing(fresh()) as db:
        for now in ("t1", "t2"):
            outcomes.record(db, Batch([copied(1)]), run_id=1, scan_id=None, now=now)

        assert db.execute("SELECT created_date, updated_date FROM file_migrations").fetchone() == ("t1", "t2")


def test_every_failure_and_every_failed_try_leaves_an_error_row_without_query_strings() -> None:
    url = "https://vendor.example/a.pdf?X-Amz-Signature=canary"
    with closing(fresh()) as db:
        tried = Attempt(record_id(1), FailureClass.NETWORK, "reset", url, 1, "2026-11-22T10:00:00.000Z")
        store(db, Batch([failed(1, FailureClass.THROTTLED, record=a_record(1, url=url), attempts=2)], attempts=[tried]))
        rows = db.execute(
            "SELECT failure_class, error_type, attempt, original_url, run_id, settled FROM migration_errors ORDER BY id"
        ).fetchall()
        original = db.execute("SELECT original_url FROM file_migrations").fetchone()

    assert rows == [
        ("network", "network", 1, "https://vendor.example/a.pdf", 1, 1),
        ("throttled", "throttled", 2, "https://vendor.example/a.pdf", 1, 1),
    ]
    assert original == (url,)


def test_tries_of_a_run_that_died_are_counted_by_the_next() -> None:
    def tried(number: int) -> Attempt:
        return Attempt(record_id(1), FailureClass.NETWORK, "reset", "https://v/", number, "t")

    with closing(fresh()) as db:
        store(db, Batch(attempts=[tried(1), tried(2)]), run_id=1)
        store(db, Batch(attempts=[tried(1)]), run_id=2)
        store(db, Batch([copied(1, attempts=2)]), run_id=2)

        assert db.execute("SELECT attempts FROM file_migrations").fetchone() == (4,)


def test_a_size_learnt_without_a_copy_is_kept_but_never_replaces_that_of_a_copy() -> None:
    with closing(fresh()) as db:
        store(db, Batch([Outcome(a_record(1), Status.SKIPPED, FailureClass.TOO_LARGE, size=999, file_name="a.pdf")]))
        first = db.execute("SELECT file_size_bytes, file_name, your_s3_key FROM file_migrations").fetchone()
        store(db, Batch([copied(1)]))
        store(db, Batch([failed(1, size=5, file_name="b.pdf")]))
        last = db.execute("SELECT file_size_bytes, file_name, your_s3_key FROM file_migrations").fetchone()

    assert first == (999, "a.pdf", None)
    assert last == (101, "1.pdf", "uploads/1.pdf")


def test_counters_that_know_nothing_of_rows_changed_by_hand_are_counted_anew() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    outcomes.record(db, Batch([copied(1), copied(2)]), run_id=None, scan_id=None, now="t")
    db.execute("UPDATE file_migrations SET proof = 'size' WHERE doclist_entry_id = ?", (record_id(1),))
    outcomes.record(db, Batch([copied(1)]), run_id=None, scan_id=None, now="t")

    assert db.execute("SELECT status, proof, files FROM counters WHERE files > 0").fetchall() == [
        ("backed_up", "checksum", 2)
    ]
    db.close()
