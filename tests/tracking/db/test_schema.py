"""Tables that keep their promises by themselves."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator

import pytest

from engine.tracking.db import schema
from engine.tracking.db.conditions import PROVED, TO_DO

SEED_COLUMNS = {
    "file_migrations": "doclist_entry_id account_id account_name original_url your_s3_key your_s3_url file_name"
    " file_size_bytes file_hash backup_timestamp last_modified_sf migration_phase salesforce_updated created_date"
    " updated_date status failure_class attempts method source_etag destination_etag checksum verified_at proof",
    "migration_runs": "run_type start_time end_time total_files_processed successful_files failed_files new_files"
    " updated_files skipped_files status error_message config_snapshot",
    "migration_errors": "run_id doclist_entry_id error_type error_message original_url timestamp failure_class attempt",
    "url_changes": "id run_id wave doclist_entry_id old_url new_url event at detail link_state prev_hash hash",
}
COPY = "'uploads/1', 'https://ours/1', 5, 'checksum'"


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """A fresh database."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    yield connection
    connection.close()


def journal(db: sqlite3.Connection, verb: str = "INSERT", row: str = "NULL") -> None:
    db.execute(
        f"{verb} INTO url_changes (id, run_id, wave, doclist_entry_id, old_url, new_url, event, at, prev_hash, hash)"
        f" VALUES ({row}, 1, 1, 'a0B000000000000001', 'old', 'new', 'intended', 't', '', '')"
    )


@pytest.mark.parametrize("table", SEED_COLUMNS)
def test_every_promised_column_is_there(db: sqlite3.Connection, table: str) -> None:
    columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}

    assert set(SEED_COLUMNS[table].split()) <= columns


def test_every_table_is_strict(db: sqlite3.Connection) -> None:
    tables = db.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'")

    assert {name for name, strict in tables if not strict} == set()


def test_migrating_twice_changes_nothing(db: sqlite3.Connection) -> None:
    before = list(db.execute("SELECT * FROM sqlite_master"))
    schema.migrate(db)

    assert list(db.execute("SELECT * FROM sqlite_master")) == before
    assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_a_released_step_never_changes() -> None:
    released = repr(schema.STEPS[:7]).encode()

    assert hashlib.sha256(released).hexdigest() == "d8fa64fd59146ab93e15727b2cba9bf175adfc4ddd9ef15fde804cbf24f2f4e1"


def test_a_step_that_fails_leaves_neither_tables_nor_mark() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.migrate(db, (("CREATE TABLE one (x)", "CREATE TABLE one (x)"),))

    assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert db.execute("PRAGMA user_version").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("status", ["backed_up", "switched", "rolled_back"])
@pytest.mark.parametrize("missing", ["your_s3_key", "your_s3_url", "file_size_bytes", "proof"])
def test_no_row_claims_a_copy_without_saying_where_how_big_and_why(
    db: sqlite3.Connection, status: str, missing: str
) -> None:
    db.execute(
        "INSERT INTO file_migrations (doclist_entry_id, created_date, updated_date, salesforce_updated, your_s3_key,"
        f" your_s3_url, file_size_bytes, proof, status) VALUES ('a0B000000000000001', 't', 't', 1, {COPY}, '{status}')"
    )

    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        db.execute(f"UPDATE file_migrations SET {missing} = NULL")


@pytest.mark.parametrize(
    "change",
    [
        "status = 'done'",
        "status = 'failed'",
        "status = 'switched'",
        "proof = 'hope'",
        "migration_phase = 3",
        "salesforce_updated = 2",
        "file_size_bytes = -1",
        "file_size_bytes = 'big'",
        "doclist_entry_id = 'a0B000000000001'",
        "failure_class = 'network'",
    ],
)
def test_impossible_rows_are_refused(db: sqlite3.Connection, change: str) -> None:
    db.execute(
        "INSERT INTO file_migrations (doclist_entry_id, created_date, updated_date, your_s3_key, your_s3_url,"
        f" file_size_bytes, proof, status) VALUES ('a0B000000000000001', 't', 't', {COPY}, 'backed_up')"
    )

    with pytest.raises(sqlite3.IntegrityError):
        db.execute(f"UPDATE file_migrations SET {change}")


def test_the_journal_takes_new_rows_and_refuses_every_change_of_old_ones(db: sqlite3.Connection) -> None:
    journal(db)
    journal(db)
    before = list(db.execute("SELECT * FROM url_changes"))
    for statement in (
        "UPDATE url_changes SET new_url = 'evil'",
        "UPDATE url_changes SET new_url = 'evil' WHERE id = 1",
        "DELETE FROM url_changes",
        "DELETE FROM url_changes WHERE id = 2",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        journal(db, "INSERT OR REPLACE", "1")

    assert len(before) == 2
    assert list(db.execute("SELECT * FROM url_changes")) == before


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM file_migrations WHERE doclist_entry_id = 'x'", "sqlite_autoindex_file_migrations_1"),
        (
            f"SELECT * FROM file_migrations WHERE source_id = 1 AND {PROVED} ORDER BY proof",
            "files_by_source",
        ),
        (f"SELECT * FROM file_migrations WHERE id > 1 AND {TO_DO} ORDER BY id LIMIT 9", "files_to_do"),
        ("SELECT account_id, status, count(*) FROM file_migrations GROUP BY 1, 2", "files_by_account"),
        ("SELECT count(*) FROM migration_errors WHERE doclist_entry_id = 'x' AND settled = 0", "errors_unsettled"),
    ],
)
def test_hot_questions_are_answered_from_an_index(db: sqlite3.Connection, query: str, index: str) -> None:
    plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))

    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_setting_the_status_leaves_the_index_of_sources_alone(db: sqlite3.Connection) -> None:
    names = {row[0]: row[1] for row in db.execute("SELECT rootpage, name FROM sqlite_master WHERE rootpage > 0")}
    program = db.execute("EXPLAIN UPDATE file_migrations SET status = 'switched' WHERE id = 1")
    written = {names[row[3]] for row in program if row[1] == "OpenWrite"}

    assert {"file_migrations", "files_by_account"} <= written
    assert "files_by_source" not in written


def test_an_older_file_finds_copies_by_their_source_as_before() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db, schema.STEPS[:4])
    for number, status, failure in ((1, "backed_up", "NULL"), (2, "gone", "'deleted'"), (3, "rolled_back", "NULL")):
        db.execute(
            "INSERT INTO file_migrations (id, doclist_entry_id, created_date, updated_date, source_id, your_s3_key,"
            " your_s3_url, file_size_bytes, proof, status, failure_class)"
            f" VALUES ({number}, 'a0B00000000000000{number}', 't', 't', 7, {COPY}, '{status}', {failure})"
        )
    schema.migrate(db)
    query = f"SELECT id FROM file_migrations WHERE source_id = 7 AND {PROVED}"

    assert sorted(db.execute(query)) == [(1,), (3,)]
    assert "files_by_source" in db.execute(f"EXPLAIN QUERY PLAN {query}").fetchone()[3]
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


ONE, OTHER = "a" * 32, "b" * 32


@pytest.mark.parametrize(
    ("status", "method", "proof", "source", "copy", "expected"),
    [
        ("backed_up", "stream", "checksum", ONE, OTHER, ("pending", "checksum_mismatch", None, None)),
        ("rolled_back", "server_copy", "etag", ONE, OTHER, ("pending", "checksum_mismatch", None, None)),
        ("switched", "stream", "checksum", ONE, OTHER, ("switched", None, "size", None)),
        ("backed_up", "stream", "checksum", ONE, f"{ONE}-2", ("backed_up", None, "received", "t")),
        ("backed_up", "stream", "checksum", ONE, ONE, ("backed_up", None, "etag", "t")),
        ("backed_up", "http", "checksum", ONE, OTHER, ("backed_up", None, "received", "t")),
        ("backed_up", "http", "checksum", "", ONE, ("backed_up", None, "received", "t")),
        ("backed_up", "twin", "checksum", "", "", ("backed_up", None, "received", "t")),
        ("backed_up", "server_copy", "checksum", f"{ONE}-2", OTHER, ("backed_up", None, "checksum", "t")),
        ("backed_up", "stream", "size", f"{ONE}-2", OTHER, ("backed_up", None, "size", "t")),
    ],
)
def test_claims_of_an_older_engine_come_to_what_they_rest_on(
    status: str, method: str, proof: str, source: str, copy: str, expected: tuple[str, ...]
) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db, schema.STEPS[:5])
    db.execute(
        "INSERT INTO file_migrations (doclist_entry_id, created_date, updated_date, salesforce_updated, your_s3_key,"
        " your_s3_url, file_size_bytes, verified_at, status, method, proof, source_etag, destination_etag)"
        " VALUES ('a0B000000000000001', 't', 't', 1, 'k', 'u', 5, 't', ?, ?, ?, ?, ?)",
        (status, method, proof, source, copy),
    )
    schema.migrate(db)

    assert db.execute("SELECT status, failure_class, proof, verified_at FROM file_migrations").fetchall() == [expected]
    counted = db.execute("SELECT status, failure_class, proof, files, bytes FROM counters").fetchall()
    assert counted == [(expected[0], expected[1] or "", expected[2] or "", 1, 5)]
    told = db.execute("SELECT to_prove_anew, now_received FROM upgrades").fetchone()
    assert told == (int(source == ONE and copy == OTHER and method != "http"), int(expected[2] == "received"))
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
