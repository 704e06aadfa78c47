"""The journal: what a batch of steps does to rows and counters, and that no tampering passes unseen."""

from __future__ import annotations

import hmac
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.change import GENESIS, ChainTip, Event, LinkState, Step
from engine.model.errors import Blocked, Differs
from engine.model.failures import FailureClass
from engine.model.outcome import Batch
from engine.tracking.db import chain, schema
from engine.tracking.db.chain import Key, load_key
from engine.tracking.db.connect import one_moment
from engine.tracking.db.database import Database, open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.journal import COLUMNS, check, history, walk
from engine.tracking.read.switchable import Undo, changes
from engine.tracking.write.journal import Journal
from tests.support.outcomes import copied, record_id

KEY = Key(b"k" * 32)


def steps_of(number: int, *events: tuple[Event, LinkState | None], **more: Any) -> list[Step]:
    outcome = copied(number)
    return [
        Step(record_id(number), outcome.record.url, outcome.url, event, link_state=link_state, **more)
        for event, link_state in events
    ]


INTENT = (Event.INTENDED, None)
APPLIED = (Event.APPLIED, LinkState.OURS)


async def prepared(database: Database, count: int = 3) -> Journal:
    ledger = Ledger(database)
    run = await ledger.begin_run("switch", {})
    await ledger.write(Batch(outcomes=[copied(number) for number in range(count)]))
    return Journal(database, KEY, run)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracking.db"


@pytest.mark.parametrize(
    ("steps", "status", "failure", "updated"),
    [
        ([INTENT], "backed_up", None, 0),
        ([INTENT, APPLIED], "switched", None, 1),
        ([INTENT, (Event.SETTLED, LinkState.OURS)], "switched", None, 1),
        ([INTENT, (Event.SETTLED, LinkState.ORIGINAL)], "backed_up", None, 0),
        ([INTENT, (Event.REFUSED, LinkState.ORIGINAL)], "backed_up", None, 0),
        ([INTENT, (Event.KEPT, LinkState.EDITED)], "pending", "drifted", 0),
        ([INTENT, (Event.KEPT, LinkState.GONE)], "gone", "deleted", 0),
        ([INTENT, APPLIED, (Event.KEPT, LinkState.EDITED)], "pending", "drifted", 0),
    ],
)
async def test_a_row_follows_what_the_journal_learns(
    path: Path, steps: list[tuple[Event, LinkState | None]], status: str, failure: str | None, updated: int
) -> None:
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database)
        for step in steps_of(1, *steps, found="https://users.test/x"):
            await journal.append([step])
        row = await database.fetch(
            "SELECT status, failure_class, salesforce_updated FROM file_migrations WHERE doclist_entry_id = ?",
            (record_id(1),),
        )
        assert row == [(status, failure, updated)]
        await counters_fit(database)


@pytest.mark.parametrize(
    "numbers", [(0, 1, 2), (0, 1, 7), (0, 0, 7), (0, 1, 8), (0, 0, 1), (7, 8), (0, 9)], ids=lambda numbers: str(numbers)
)
async def test_a_batch_that_fits_only_partly_counts_what_it_changed(path: Path, numbers: tuple[int, ...]) -> None:
    """7 points at another copy by now, 8 is not in the DB, 9 stays with the original link."""
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database, 3)
        await Ledger(database).write(Batch(outcomes=[copied(7, size=70), copied(9)]))
        steps = [step for number in numbers for step in steps_of(number, APPLIED)]
        steps = [s._replace(new="https://ours.example/another.pdf") if s.id == record_id(7) else s for s in steps]
        steps = [
            s._replace(event=Event.SETTLED, link_state=LinkState.ORIGINAL) if s.id == record_id(9) else s for s in steps
        ]
        await journal.append(steps)
        switched = await database.fetch("SELECT doclist_entry_id FROM file_migrations WHERE status = 'switched'")
        assert {name for (name,) in switched} == {record_id(number) for number in numbers if number < 7}
        await counters_fit(database)


async def test_an_undo_restores_the_row_and_a_failed_one_leaves_it_switched(path: Path) -> None:
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database)
        await journal.append(steps_of(0, INTENT, APPLIED) + steps_of(1, INTENT, APPLIED))
        undo = (Event.UNDO_INTENDED, None)
        await journal.append(steps_of(0, undo, (Event.UNDONE, LinkState.ORIGINAL), undo=True))
        refused = steps_of(1, undo, (Event.REFUSED, LinkState.OURS), undo=True)
        await journal.append([refused[0], refused[1]._replace(failure=FailureClass.REJECTED, message="rule")])
        rows: dict[str, str] = dict(await database.fetch("SELECT doclist_entry_id, status FROM file_migrations"))
        assert rows[record_id(0)] == "rolled_back"
        assert rows[record_id(1)] == "switched"
        errors = await database.fetch("SELECT doclist_entry_id, failure_class FROM migration_errors")
        assert errors == [(record_id(1), "rejected")]
        await counters_fit(database)


async def test_an_undo_onto_another_copy_never_claims_that_copy(path: Path) -> None:
    """The row has moved on to another copy since: restoring the old link must not tie the two together (I5)."""
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database)
        old = steps_of(1, (Event.UNDONE, LinkState.ORIGINAL), undo=True)[0]
        await journal.append([old._replace(new="https://ours.example/another.pdf", old="https://vendor.example/older")])
        row = await database.fetch(
            "SELECT status, failure_class, original_url FROM file_migrations WHERE doclist_entry_id = ?",
            (record_id(1),),
        )
        assert row == [("pending", "drifted", "https://vendor.example/older")]


async def rows_of(database: Database, number: int) -> tuple[Any, ...]:
    statement = (
        "SELECT status, failure_class, original_url, salesforce_updated FROM file_migrations WHERE doclist_entry_id = ?"
    )
    return (await database.fetch(statement, (record_id(number),)))[0]


async def test_what_the_org_made_of_a_link_leaves_the_original_and_counts_once(path: Path) -> None:
    """In one batch with the step that says it was written, and with another record's before it."""
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database)
        made = steps_of(1, (Event.REWRITTEN, LinkState.OURS), failure=FailureClass.REJECTED)[0]
        other = steps_of(2, (Event.REWRITTEN, LinkState.OURS), failure=FailureClass.REJECTED)[0]
        await journal.append(steps_of(2, INTENT, APPLIED))
        await journal.append(
            [
                other._replace(new="https://org.test/2", behind=True),
                *steps_of(1, INTENT, APPLIED),
                made._replace(new="https://org.test/1", behind=True),
            ]
        )
        original = copied(1).record.url
        assert await rows_of(database, 1) == ("failed", "rejected", original, 0)
        run = "SELECT total_files_processed, successful_files, failed_files, skipped_files FROM migration_runs"
        assert await database.fetch(run) == [(3 + 2, 3, 2, 0)]  # three copies before
        undo = (Event.UNDO_INTENDED, None)
        back = steps_of(1, undo, (Event.UNDONE, LinkState.ORIGINAL), undo=True)
        await journal.append([each._replace(new="https://org.test/1") for each in back])
        assert await rows_of(database, 1) == ("rolled_back", None, original, 0)
        await counters_fit(database)


@pytest.mark.parametrize(
    ("found", "row"),
    [
        ("https://users.test/x", ("pending", "drifted", "https://users.test/x", 0)),
        (copied(1).url, ("switched", None, copied(1).record.url, 1)),
        ("https://ours.example/older", ("pending", "drifted", "https://vendor.example/older", 0)),
        ("https://org.test/1", ("failed", "rejected", "https://vendor.example/older", 0)),
    ],
)
async def test_a_link_that_was_found_may_be_a_value_of_ours(path: Path, found: str, row: tuple[Any, ...]) -> None:
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database)
        older = steps_of(1, INTENT, APPLIED, (Event.REWRITTEN, LinkState.OURS))
        older = [each._replace(old="https://vendor.example/older", new="https://ours.example/older") for each in older]
        await journal.append([*older[:2], older[2]._replace(new="https://org.test/1"), *steps_of(1, INTENT)])
        await journal.append(steps_of(1, (Event.KEPT, LinkState.EDITED), found=found))
        assert await rows_of(database, 1) == row
        await counters_fit(database)


async def test_an_empty_value_is_ours_until_it_is_undone(path: Path) -> None:
    async with open_database(path, SystemClock()) as database:
        journal, held = await prepared(database), [(record_id(1), "")]
        ledger = Ledger(database)
        assert await ledger.ours(held) == {}
        made = steps_of(1, INTENT, APPLIED, (Event.REWRITTEN, LinkState.OURS))
        await journal.append([*made[:2], made[2]._replace(new="")])
        assert await ledger.ours(held) == {record_id(1): (copied(1).record.url, True)}
        undone = steps_of(1, (Event.UNDONE, LinkState.ORIGINAL), undo=True)[0]
        await journal.append([undone._replace(new="")])
        assert await ledger.ours(held) == {}


async def test_what_was_intended_and_never_confirmed_is_found(path: Path) -> None:
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database)
        await journal.append(steps_of(0, INTENT, APPLIED) + steps_of(1, INTENT))
        await journal.append(steps_of(0, (Event.UNDO_INTENDED, None), undo=True))
        found = await check(database, KEY, [journal.tip])
        assert [(each.id, each.undo) for each in found.open] == [(record_id(1), False), (record_id(0), True)]
        assert found.tip == journal.tip == ChainTip(4, found.tip.hash)


def test_a_head_is_written_to_a_new_file_and_not_through_what_lies_in_the_way(path: Path) -> None:
    victim, head = path.with_name("victim"), chain.tip_path(path)
    victim.write_text("precious")
    os.link(victim, f"{head}.partial")
    chain.write_tip(head, b"a head")
    assert (head.read_bytes(), victim.read_text()) == (b"a head", "precious")


async def test_the_head_lies_beside_the_db_before_append_returns(path: Path) -> None:
    async with open_database(path, SystemClock()) as database:
        journal = await prepared(database)
        for number in range(3):
            await journal.append(steps_of(number, INTENT))
            document = chain.tip_path(path).read_bytes()
            assert chain.read_tip(KEY, document, "here") == journal.tip == ChainTip(number + 1, journal.tip.hash)


async def counters_fit(database: Database) -> None:
    counted = await database.fetch(
        "SELECT status, failure_class, proof, files FROM counters WHERE files > 0 ORDER BY 1"
    )
    truth = await database.fetch(
        "SELECT status, coalesce(failure_class, ''), coalesce(proof, ''), count(*) FROM file_migrations"
        " GROUP BY 1, 2, 3 ORDER BY 1"
    )
    assert sorted(counted) == sorted(truth)


# tampering


@pytest.fixture
def sealed() -> Iterator[tuple[sqlite3.Connection, ChainTip]]:
    """Thirty sealed rows in a DB whose triggers an attacker has dropped, and the head that was exported."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        for name in ("no_update", "no_delete", "no_replace"):
            db.execute(f"DROP TRIGGER url_changes_{name}")
        yield db, fill(db, 30)


def fill(db: sqlite3.Connection, count: int) -> ChainTip:
    head = ChainTip(
        *(db.execute("SELECT id, hash FROM url_changes ORDER BY id DESC LIMIT 1").fetchone() or GENESIS_ROW)
    )
    for number in range(head.rows + 1, head.rows + count + 1):
        event = ("intended", "applied", "undo_intended", "undone")[number % 4]
        row = (number, 1, number % 5, record_id(number % 9), f"https://v.test/{number}", f"https://o.test/{number}",
               event, "2026-11-22T10:00:00.000000Z", "ours")  # fmt: skip
        state = ("original",) if number % 2 else ()  # the others are as earlier versions wrote them
        head = insert(db, KEY, head.hash, *row, *state)
    return head


def insert(db: sqlite3.Connection, key: Key, before: str, *row: int | str) -> ChainTip:
    seal = key.row_hmac(before, row)
    columns = (COLUMNS + ", link_state")[: None if len(row) == 10 else len(COLUMNS)]
    marks = ", ".join("?" * (len(row) + 2))
    db.execute(f"INSERT INTO url_changes ({columns}, prev_hash, hash) VALUES ({marks})", (*row, before, seal))
    return ChainTip(int(row[0]), seal)


GENESIS_ROW = (GENESIS.rows, GENESIS.hash)
TEXTS = ("doclist_entry_id", "old_url", "new_url", "at", "detail", "prev_hash", "hash")
EVENTS = ("intended", "applied", "refused", "undo_intended", "undone", "kept", "settled")


def a_bit(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    column, row = chance.choice(TEXTS), chance.randint(1, last)
    (text,) = db.execute(f"SELECT {column} FROM url_changes WHERE id = ?", (row,)).fetchone()
    raw = bytearray(text.encode())
    if not raw:
        raw = bytearray(b"\0")
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    db.execute(f"UPDATE url_changes SET {column} = CAST(? AS TEXT) WHERE id = ?", (bytes(raw), row))


def a_field(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    row = chance.randint(1, last)
    column, value = chance.choice(
        [("run_id", 99), ("wave", 99), ("event", ""), ("old_url", "https://evil.test/"), ("new_url", ""),
         ("detail", "original"), ("at", "2020-01-01T00:00:00.000000Z"), ("doclist_entry_id", record_id(77))]
    )  # fmt: skip
    if column == "event":
        (now,) = db.execute("SELECT event FROM url_changes WHERE id = ?", (row,)).fetchone()
        value = chance.choice([event for event in EVENTS if event != now])
    db.execute(f"UPDATE url_changes SET {column} = ? WHERE id = ?", (value, row))


def a_link_state(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    """Filled in, emptied, changed, or moved to where earlier versions had it."""
    row = chance.randint(1, last)
    (now,) = db.execute("SELECT link_state FROM url_changes WHERE id = ?", (row,)).fetchone()
    other = chance.choice([state for state in (None, *LinkState) if state != now])
    db.execute("UPDATE url_changes SET link_state = ? WHERE id = ?", (other, row))
    if now is not None and chance.random() < 0.5:
        db.execute("UPDATE url_changes SET detail = ? WHERE id = ?", (f"{now}: ours", row))


def a_swap(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    one, other = chance.sample(range(1, last + 1), 2)
    columns = ("doclist_entry_id", "old_url", "new_url")
    if chance.random() < 0.5:  # whole rows change places, seals and all
        db.execute("UPDATE url_changes SET id = -1 WHERE id = ?", (one,))
        db.execute("UPDATE url_changes SET id = ? WHERE id = ?", (one, other))
        db.execute("UPDATE url_changes SET id = ? WHERE id = -1", (other,))
        return
    column = chance.choice(columns[1:])
    values = dict(db.execute(f"SELECT id, {column} FROM url_changes WHERE id IN (?, ?)", (one, other)))
    db.execute(f"UPDATE url_changes SET {column} = ? WHERE id = ?", (values[other], one))
    db.execute(f"UPDATE url_changes SET {column} = ? WHERE id = ?", (values[one], other))


def a_deletion(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    row = chance.randint(1, last)
    db.execute("DELETE FROM url_changes WHERE id = ?", (row,))
    if chance.random() < 0.5:  # and the gap is closed
        db.execute("UPDATE url_changes SET id = -id WHERE id > ?", (row,))
        db.execute("UPDATE url_changes SET id = -id - 1 WHERE id < 0")


def an_insertion(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    at = chance.randint(1, last + 1)
    db.execute("UPDATE url_changes SET id = -id WHERE id >= ?", (at,))
    db.execute("UPDATE url_changes SET id = -id + 1 WHERE id < 0")
    before = (
        GENESIS.hash if at == 1 else db.execute("SELECT hash FROM url_changes WHERE id = ?", (at - 1,)).fetchone()[0]
    )
    row = (at, 1, 1, record_id(5), "https://evil.test/", "https://o.test/5", "intended", "2026", "")
    insert(db, Key(chance.randbytes(32)), before, *row)


def a_cut(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    db.execute("DELETE FROM url_changes WHERE id > ?", (last - chance.randint(1, last),))


def another_life(db: sqlite3.Connection, chance: random.Random, last: int) -> None:
    """An older copy is brought back, and lives on under the true key."""
    kept = last - chance.randint(1, last)
    db.execute("DELETE FROM url_changes WHERE id > ?", (kept,))
    rows = chance.randint(1, 40)
    for number in range(rows):
        before = db.execute("SELECT id, hash FROM url_changes ORDER BY id DESC LIMIT 1").fetchone() or GENESIS_ROW
        row = (before[0] + 1, 7, 1, record_id(number), "https://v.test/b", "https://o.test/b", "intended", "2026", "")
        insert(db, KEY, before[1], *row)


MUTATIONS = (a_bit, a_field, a_link_state, a_swap, a_deletion, an_insertion, a_cut, another_life)


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_no_tampering_passes(
    sealed: tuple[sqlite3.Connection, ChainTip], mutate: Callable[[sqlite3.Connection, random.Random, int], None]
) -> None:
    """Ten thousand mutations in all, each refused."""
    db, head = sealed
    chance = random.Random(mutate.__name__)
    assert walk(db, KEY, [head]).tip == head
    for number in range(10_000 // len(MUTATIONS) + 1):
        db.execute("SAVEPOINT before")
        mutate(db, chance, head.rows)
        assert refused(db, head), f"{mutate.__name__} number {number} passed"
        db.execute("ROLLBACK TO before")
        db.execute("RELEASE before")
    assert walk(db, KEY, [head]).tip == head


def refused(db: sqlite3.Connection, head: ChainTip) -> bool:
    try:
        walk(db, KEY, [head])
    except Differs:
        return True
    return False


@pytest.mark.parametrize("secret", [b"k" * 16, b"k" * 64, b"k" * 65, b"\x00\xff" * 100])
def test_a_seal_is_an_hmac_as_everybody_knows_it(secret: bytes) -> None:
    assert Key(secret).hmac("before", b"content") == hmac.digest(secret, b"beforecontent", "sha256").hex()


def test_another_key_does_not_fit(sealed: tuple[sqlite3.Connection, ChainTip]) -> None:
    db, head = sealed
    with pytest.raises(Differs, match="key does not fit"):
        walk(db, Key(b"x" * 32), [head])


def test_an_exported_head_that_lags_behind_is_fine(sealed: tuple[sqlite3.Connection, ChainTip]) -> None:
    """A kill may fall between the commit and the export."""
    db, head = sealed
    further = fill(db, 5)
    assert walk(db, KEY, [GENESIS, head]).tip == further


@pytest.mark.parametrize("change", [b'"rows":4', b'"hash":"00', b'"seal":"00', b"{", b""])
def test_a_head_that_was_changed_is_refused(change: bytes) -> None:
    document = chain.tip_document(KEY, ChainTip(30, "ab" * 32), "2026-11-22T10:00:00.000Z")
    name, _, value = change.partition(b":")
    at = document.index(name) if name and name in document else 0
    spoilt = document[:at] + change + document[at + len(change) :] if value else change
    assert spoilt != document
    with pytest.raises(Differs, match="damaged, or of another journal"):
        chain.read_tip(KEY, spoilt, "the file")


def test_the_key_is_made_once_private_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "journal-key"
    with pytest.raises(Blocked, match="is missing"):
        load_key(path, may_create=False)
    key = load_key(path, may_create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, may_create=True).fingerprint == key.fingerprint
    assert key.fingerprint in repr(key)
    assert path.read_text().strip() not in repr(key)
    path.chmod(0o644)
    with pytest.raises(Blocked, match="can be read by others"):
        load_key(path, may_create=False)


def test_an_empty_key_file_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "journal-key"
    path.write_bytes(b"\n")
    path.chmod(0o600)
    with pytest.raises(Blocked, match="holds no key"):
        load_key(path, may_create=True)


async def test_the_journal_of_an_earlier_version_stays_whole_and_is_continued(path: Path) -> None:
    """Its rows say where a link stands in their detail; their HMACs know no other column."""
    at = "2026-11-22T10:00:00.000000Z"
    words = (("intended", ""), ("applied", "ours"), ("kept", "edited: by a user"), ("intended", "bulk job 750X"))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        schema.migrate(db, schema.STEPS[:7])
        tip = GENESIS
        for number, (event, detail) in enumerate(words, start=1):
            name = record_id(1 if number < 4 else 2)
            tip = insert(
                db, KEY, tip.hash, number, 1, 1, name, "https://v.test/1", "https://o.test/1", event, at, detail
            )
    async with open_database(path, SystemClock()) as database:
        assert (await check(database, KEY, [tip])).tip == tip
        assert [each.job for each in (await check(database, KEY, [tip])).open] == ["750X"]
        assert [change.link_state for change in await changes(database, [1, 4], Undo())] == ["edited", ""]
        journal = await prepared(database)
        await journal.append(steps_of(2, (Event.SETTLED, LinkState.ORIGINAL), message="by a new version"))
        found = await check(database, KEY, [tip, journal.tip])
        assert (found.tip, found.open) == (journal.tip, [])
        assert [change.link_state for change in await changes(database, [1, 4], Undo())] == ["edited", "original"]
    with one_moment(path) as db:
        shown = history(db, record=None, account=None, run=None, limit=9)
    assert [(step["link_state"], step["detail"]) for step in shown] == [
        (None, ""), ("ours", "ours"), ("edited", "edited: by a user"), (None, "bulk job 750X"),
        ("original", "original: by a new version"),
    ]  # fmt: skip


def test_a_long_journal_is_walked_in_seconds() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        db.execute("BEGIN")
        head = fill(db, 20_000)
        db.execute("COMMIT")
        begun = time.process_time()
        assert walk(db, KEY, [head]).tip == head
        assert time.process_time() - begun < 2
