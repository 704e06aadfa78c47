"""Batches of the journal on their way into the bucket: side by side, in whatever order, and no two after one row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from engine.model.change import GENESIS
from engine.model.errors import Differs, Paused, Refused
from engine.model.facts import ObjectFacts, Occupied
from engine.model.failures import FailureClass
from engine.runs.journal.batches import Pins, Row, batch_document, batch_names, read_batch
from engine.runs.journal.off_box import OffBox
from engine.tracking.db.chain import Key

KEY = Key(b"k" * 32)
PINS = Pins("00D000000000001AAA", "DocListEntry__c", "Document__c", "ours")


def chain(count: int, start: int = 1, before: str = GENESIS.hash, what: str = "a") -> list[Row]:
    rows: list[Row] = []
    for number in range(start, start + count):
        row = (number, 1, 1, f"a0X{number:015d}", f"https://old/{what}", "https://new/", "intended", "2026", "")
        rows.append(Row(*row, None, before, KEY.row_hmac(before, row)))
        before = rows[-1].hash
    return rows


class Store:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.held: dict[int, asyncio.Event] = {}
        """Puts that wait, by the row in their name."""
        self.denied = False

    async def put(self, key: str, content: bytes) -> None:
        if (event := self.held.get(int(key.rpartition("/")[2][:12]))) is not None:
            await event.wait()
        if self.denied:
            raise Refused(FailureClass.DESTINATION_DENIED, "denied")
        if key in self.objects:
            raise Occupied(ObjectFacts(len(self.objects[key])))
        self.objects[key] = content

    async def get(self, key: str, size: int) -> bytes:
        return self.objects[key][:size]

    def off_box(self) -> OffBox:
        return OffBox(self.put, self.get, KEY, PINS, "")


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_later_batch_is_not_settled_before_an_earlier_one() -> None:
    store, rows = Store(), chain(4)
    store.held[1] = asyncio.Event()
    off_box = store.off_box()
    off_box.take(rows[:2])
    off_box.take(rows[2:])
    settled = asyncio.ensure_future(off_box.settled())
    await turns()
    assert [key[-19:-7] for key in store.objects] == ["000000000003"]
    assert not settled.done()
    store.held[1].set()
    await settled
    assert len(store.objects) == 2


async def test_after_a_failure_nothing_more_is_tried_and_all_who_wait_learn_it() -> None:
    store, rows = Store(), chain(4)
    off_box = store.off_box()
    store.denied = True
    off_box.take(rows[:2])
    with pytest.raises(Paused, match="could not be put into the bucket: denied"):
        await off_box.settled()
    store.denied = False
    off_box.take(rows[2:])
    with pytest.raises(Paused, match="denied"):
        await off_box.settled()
    assert store.objects == {}


async def test_another_copy_of_the_journal_at_work_is_found_out() -> None:
    store, rows = Store(), chain(2)
    name = batch_names(KEY, rows[0].hash, 3)[0]
    theirs = chain(2, 3, rows[-1].hash, "theirs")
    store.objects[name] = batch_document(KEY, rows[0].hash, PINS, theirs)
    off_box = store.off_box()
    off_box.take(rows)
    off_box.take(chain(1, 3, rows[-1].hash, "ours"))
    with pytest.raises(Paused, match="a copy of this tracking DB is at work elsewhere"):
        await off_box.settled()


@pytest.mark.parametrize("there", [b"", b"{}\n", b"dead process"])
async def test_what_is_no_contradiction_takes_another_name(there: bytes) -> None:
    store, rows = Store(), chain(6)
    first = rows[0].hash
    if there == b"dead process":  # it had the same rows under way, in a smaller batch
        there = batch_document(KEY, first, PINS, rows[2:4])
    names = batch_names(KEY, first, 3)
    store.objects[names[0]] = there
    off_box = store.off_box()
    off_box.take(rows[:2])
    off_box.take(rows[2:])
    await off_box.settled()
    assert read_batch(KEY, store.objects[names[1]], names[1]).rows == rows[2:]


CHANGES: list[Callable[[bytes], bytes]] = [
    lambda text: text.replace(b"https://old/a", b"https://old/b", 1),
    lambda text: b"\n".join(text.split(b"\n")[:-2]) + b"\n",
    lambda text: text.replace(b"00D000000000001AAA", b"00D000000000002AAA"),
    lambda text: text.replace(b'"rows":3', b'"rows":2'),
    lambda text: text[: len(text) // 2],
    lambda _text: b"",
    lambda _text: b"null\n",
    lambda _text: b'{"engine_journal":1}\n\xff\n',
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_that_was_changed_is_none(change: Callable[[bytes], bytes]) -> None:
    rows = chain(3)
    name = batch_names(KEY, rows[0].hash, 1)[0]
    document = batch_document(KEY, rows[0].hash, PINS, rows)
    assert read_batch(KEY, document, name).rows == rows
    assert read_batch(None, document, name).pins == PINS
    for key, content, where in (
        (KEY, change(document), name),
        (Key(b"x" * 32), document, name),
        (KEY, document, name.replace(KEY.fingerprint, "0" * 16)),
    ):
        with pytest.raises(Differs):
            read_batch(key, content, where)
