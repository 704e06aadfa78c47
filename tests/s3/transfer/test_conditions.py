"""No overwrite: the table of verdicts, and the guard against stores of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from engine.model.facts import ObjectFacts, Occupied
from engine.runs.doctor.checks.bucket import never_overwrites, set_up
from engine.runs.doctor.checks.finding import Level
from engine.s3.api.answers import Answer, Fields, StoreError
from engine.s3.api.bucket_setup import BucketSetup, Fact
from engine.s3.transfer.conditions import Conditional, looks_first, sends_condition
from engine.s3.transfer.guard import Guard
from tests.support.s3 import Bytes
from tests.support.s3_double import MD5, aws, facing
from tests.support.servers.capture import Recorded, Reply


@pytest.mark.parametrize(
    ("verdict", "looks", "sends"),
    [
        (Conditional.UNKNOWN, True, True),
        (Conditional.HONOURED, False, True),
        (Conditional.UNSUPPORTED, True, False),
        (Conditional.IGNORED, True, False),
    ],
)
def test_what_a_verdict_leads_to(verdict: Conditional, looks: bool, sends: bool) -> None:
    assert (looks_first(verdict), sends_condition(verdict)) == (looks, sends)


class Sink:
    """A store of one kind; ``log`` is what it was asked."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.held: dict[str, str] = {}
        self.log: list[str] = []
        self.lose_next_answer = False

    async def look(self, key: str) -> ObjectFacts | None:
        self.log.append(f"HEAD {key}")
        await asyncio.sleep(0)
        return ObjectFacts(1, self.held[key]) if key in self.held else None

    async def write(self, key: str, more: Fields) -> Answer:
        conditional = "if-none-match" in more
        self.log.append(f"PUT{'?' if conditional else '!'} {key}")
        await asyncio.sleep(0)
        if conditional and self.kind == "refuses":
            raise StoreError("PreconditionFailed", 412)
        if conditional and self.kind == "knows nothing":
            raise StoreError("NotImplemented", 501)
        if conditional and self.kind == "honours" and key in self.held:
            raise StoreError("PreconditionFailed", 412)
        self.held[key] = f"etag-{key}"
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise StoreError("Unreachable", 0)
        return Answer(200, {"etag": f'"etag-{key}"'})


async def put(guard: Guard, sink: Sink, key: str) -> Answer:
    return await guard.write(key, lambda more: sink.write(key, more))


@pytest.mark.parametrize(
    ("kind", "verdict", "first", "then"),
    [
        ("honours", Conditional.HONOURED, ["HEAD a", "PUT? a", "PUT? a"], ["PUT? b"]),
        ("ignores", Conditional.IGNORED, ["HEAD a", "PUT? a", "PUT? a"], ["HEAD b", "PUT! b"]),
        ("refuses", Conditional.UNSUPPORTED, ["HEAD a", "PUT? a", "HEAD a", "PUT! a"], ["HEAD b", "PUT! b"]),
        ("knows nothing", Conditional.UNSUPPORTED, ["HEAD a", "PUT? a", "HEAD a", "PUT! a"], ["HEAD b", "PUT! b"]),
    ],
)
async def test_the_first_write_learns_and_the_next_relies_on_it(
    kind: str, verdict: Conditional, first: list[str], then: list[str]
) -> None:
    sink = Sink(kind)
    guard = Guard(sink.look)
    await put(guard, sink, "a")
    assert (guard.verdict, sink.log) == (verdict, first)
    sink.log.clear()
    await put(guard, sink, "b")
    assert sink.log == then
    assert set(sink.held) == {"a", "b"}


@pytest.mark.parametrize("kind", ["honours", "ignores", "refuses", "knows nothing"])
@pytest.mark.parametrize("learned", [False, True])
async def test_a_taken_key_is_never_written(kind: str, learned: bool) -> None:
    sink = Sink(kind)
    guard = Guard(sink.look)
    if learned:
        await put(guard, sink, "a")
    sink.held["k"] = "theirs"
    with pytest.raises(Occupied) as occupied:
        await put(guard, sink, "k")
    assert occupied.value.facts.etag == "theirs"
    assert sink.held["k"] == "theirs"


async def test_many_writers_wait_for_the_verdict_of_one() -> None:
    sink = Sink("honours")
    guard = Guard(sink.look)
    await asyncio.gather(*(put(guard, sink, f"k{n}") for n in range(50)))
    assert sum(line.startswith("HEAD") for line in sink.log) == 50  # one look each: their keys may all be taken
    assert len(sink.held) == 50


async def test_while_nothing_is_known_taken_keys_are_looked_at_side_by_side() -> None:
    looking = 0
    most = 0

    async def look(key: str) -> ObjectFacts | None:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        await asyncio.sleep(0)
        looking -= 1
        return ObjectFacts(size=1, etag="theirs")

    async def never(_: Fields) -> Answer:
        raise AssertionError("nothing may be written")

    guard = Guard(look)
    results = await asyncio.gather(*(guard.write(f"k{n}", never) for n in range(20)), return_exceptions=True)

    assert all(isinstance(result, Occupied) for result in results)
    assert most == 20


async def test_an_answer_lost_while_learning_teaches_nothing_wrong() -> None:
    sink = Sink("honours")
    guard = Guard(sink.look)
    sink.lose_next_answer = True
    with pytest.raises(StoreError, match="Unreachable"):
        await put(guard, sink, "a")
    assert guard.verdict is Conditional.UNKNOWN
    with pytest.raises(Occupied) as ours:
        await put(guard, sink, "a")
    assert ours.value.facts.etag == "etag-a"
    await put(guard, sink, "b")
    assert guard.verdict is Conditional.HONOURED


async def test_a_key_taken_while_the_first_write_was_under_way_is_occupied_and_teaches_nothing() -> None:
    sink = Sink("honours")
    guard = Guard(sink.look)

    async def raced(more: Fields) -> Answer:
        sink.held.setdefault("a", "theirs")
        return await sink.write("a", more)

    with pytest.raises(Occupied):
        await guard.write("a", raced)
    assert guard.verdict is Conditional.UNKNOWN
    assert sink.held["a"] == "theirs"


async def test_a_repeat_that_fails_otherwise_leaves_the_write_standing() -> None:
    sink = Sink("honours")
    guard = Guard(sink.look)
    answers = iter([None, StoreError("SlowDown", 503)])

    async def send(more: Fields) -> Answer:
        answer = await sink.write("a", {})
        if (error := next(answers)) is not None:
            raise error
        return answer

    assert (await guard.write("a", send)).etag == "etag-a"
    assert guard.verdict is Conditional.UNKNOWN


async def test_a_refusal_at_a_free_key_is_a_conflict_to_be_tried_again() -> None:
    sink = Sink("honours")
    guard = Guard(sink.look)
    await put(guard, sink, "a")
    sink.kind = "refuses"
    with pytest.raises(StoreError) as refused:
        await put(guard, sink, "b")
    assert refused.value.status == 409


def keeping(*honours: str) -> Callable[[Recorded], Reply]:
    """A store that honours the condition on these verbs alone, and has what was written."""
    held: set[str] = set()

    def answer(request: Recorded) -> Reply:
        if request.method == "HEAD":
            there = Reply(200, {"ETag": f'"{MD5}"', "Content-Length": "5"}, length=False)
            return there if request.path in held else Reply(404)
        if request.method == "PUT":
            verb = "copy" if "x-amz-copy-source" in request.headers else "put"
            if verb in honours and request.path in held and "if-none-match" in request.headers:
                return Reply(412)
            held.add(request.path)
        return aws(request)

    return answer


@pytest.mark.parametrize(
    ("honours", "level", "named"),
    [
        (("put", "copy"), Level.OK, []),
        (("put",), Level.WARN, ["copies"]),
        ((), Level.WARN, ["copies", "writes"]),
    ],
)
async def test_doctor_and_the_run_say_where_the_store_does_not_refuse_to_overwrite(
    honours: tuple[str, ...], level: Level, named: list[str]
) -> None:
    async with facing("fast", otherwise=keeping(*honours)) as (s3, _):
        await s3.destination.store(Bytes(b"hello"), ".engine/doctor-1.txt")
        found = await never_overwrites(s3.destination, ".engine/doctor-1.txt")
        assert found.level is level
        told = s3.destination.remarks()
    assert bool(told) is bool(named)
    for text in (found.what, *told) if named else ():
        assert [name for name in ("copies", "writes") if name in text.partition(":")[0]] == named


async def test_doctor_advises_no_versioning_that_widens_the_gap() -> None:
    class Desk:
        async def encryption(self) -> Fact:
            return Fact(True)

        versioning = aborts_uploads = archives = encryption

        async def ends(self, _prefix: str) -> Fact:
            return Fact(True)

    for ignore, wanted in ((False, "turn versioning on before the switch"), (True, "not before")):
        (found,) = [
            each
            for each in await set_up(cast("BucketSetup", Desk()), copies_ignore=ignore, off_box=True)
            if each.check == "versioning"
        ]
        assert wanted in found.fix
