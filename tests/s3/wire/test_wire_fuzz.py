"""Any cut of a valid answer reads the same; any bytes at all end in an answer or a WireError."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.s3.wire.errors import WireError
from engine.s3.wire.exchange import DONE, Exchange, Whole
from engine.s3.wire.reply import Reply
from engine.s3.wire.streamed import Streamed
from tests.support.wire_answers import valid_answers

LOOP = asyncio.new_event_loop()


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Iterator[None]:
    yield
    LOOP.close()


class NoFlow:
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def fed(exchange: Exchange, block: bytes, cuts: list[int], *, end: bool) -> Exchange:
    """Feed the block in pieces, then the end of stream, as a connection would."""
    places = [0, *sorted(cut % (len(block) + 1) for cut in cuts), len(block)]
    try:
        for begin, until in itertools.pairwise(places):
            if until > begin:
                exchange.feed(block[begin:until])
    except WireError as error:
        exchange.fail(error)
    if end:
        error_at_end = exchange.closed("", reused=False)
        if error_at_end is not None:
            exchange.fail(error_at_end)
    return exchange


def whole() -> Whole:
    return Whole(LOOP.create_future(), method="GET", max_head=4096, max_body=1000)


def plain(reply: Reply) -> tuple[object, ...]:
    return reply.status, dict(reply.fields), reply.body, reply.framing


@given(valid_answers(), st.lists(st.integers(0, 5000), max_size=12))
def test_any_cut_of_a_valid_answer_reads_the_same(answer: tuple[bytes, int, bytes, bool], cuts: list[int]) -> None:
    block, status, body, closes = answer
    uncut = fed(whole(), block, [], end=closes).answer.result()
    cut = fed(whole(), block, cuts, end=closes).answer.result()
    assert (uncut.status, uncut.body) == (status, body)
    assert plain(cut) == plain(uncut)


@given(valid_answers())
def test_an_answer_fed_byte_by_byte_reads_the_same(answer: tuple[bytes, int, bytes, bool]) -> None:
    block, status, body, closes = answer
    reply = fed(whole(), block, list(range(len(block))), end=closes).answer.result()
    assert (reply.status, reply.body) == (status, body)


@given(valid_answers(), st.lists(st.integers(0, 5000), max_size=12))
def test_a_stream_gives_the_same_bytes_however_they_are_cut(
    answer: tuple[bytes, int, bytes, bool], cuts: list[int]
) -> None:
    block, status, body, closes = answer

    async def read() -> bytes:
        exchange = Streamed(asyncio.get_running_loop().create_future(), method="GET", max_head=4096, flow=NoFlow())
        fed(exchange, block, cuts, end=closes)
        assert exchange.answer.result().status == status
        return b"".join([bytes(piece) async for piece in exchange.pieces()])

    assert LOOP.run_until_complete(read()) == body


@given(valid_answers(), st.lists(st.integers(0, 5000), max_size=6), st.integers(1, 5000))
def test_no_proper_beginning_of_a_framed_answer_passes_for_the_whole(
    answer: tuple[bytes, int, bytes, bool], cuts: list[int], missing: int
) -> None:
    block, _, _, closes = answer
    if closes:
        return
    short = block[: len(block) - 1 - missing % len(block)]
    outcome = fed(whole(), short, cuts, end=True).answer
    assert isinstance(outcome.exception(), WireError)


@given(valid_answers(), st.binary(min_size=1, max_size=40), st.lists(st.integers(0, 5000), max_size=6))
def test_whatever_follows_the_end_is_never_part_of_the_answer_nor_of_the_next(
    answer: tuple[bytes, int, bytes, bool], extra: bytes, cuts: list[int]
) -> None:
    block, status, body, closes = answer
    if closes:
        return
    exchange = fed(whole(), block + extra, cuts, end=False)
    reply = exchange.answer.result()
    assert (reply.status, reply.body) == (status, body)
    assert not exchange.reusable


fragments = st.sampled_from(
    b"HTTP/1.1 200 OK\r\n|HTTP/1.0 200 OK\r\n|HTTP/1.1 204 No\r\n|HTTP/1.1 100 C\r\n\r\n|\r\n|\n|\r\n\r\n|0\r\n\r\n|"
    b"Content-Length: 3\r\n|Content-Length: 0\r\n|Transfer-Encoding: chunked\r\n|Connection: close\r\n|: |\0|ffff\r\n|"
    b"Upgrade: x\r\nConnection: upgrade\r\n|3\r\nabc\r\n|abc".split(b"|")
)
junk = st.one_of(
    st.binary(max_size=400), st.lists(st.one_of(fragments, st.binary(max_size=5)), max_size=14).map(b"".join)
)


@given(junk, st.lists(st.integers(0, 500), max_size=8), st.sampled_from(["GET", "HEAD", "CONNECT"]))
def test_any_bytes_end_in_an_answer_or_a_wire_error(block: bytes, cuts: list[int], method: str) -> None:
    exchange = Whole(LOOP.create_future(), method=method, max_head=200, max_body=100)
    fed(exchange, block, cuts, end=True)
    assert exchange.stage == DONE
    error = exchange.answer.exception()
    assert isinstance(error, WireError) if error is not None else isinstance(exchange.answer.result(), Reply)


@given(junk, st.lists(st.integers(0, 500), max_size=8))
def test_any_bytes_end_a_stream_with_its_body_or_a_wire_error(block: bytes, cuts: list[int]) -> None:
    async def read() -> None:
        exchange = Streamed(asyncio.get_running_loop().create_future(), method="GET", max_head=200, flow=NoFlow())
        fed(exchange, block, cuts, end=True)
        try:
            await exchange.answer
            async for piece in exchange.pieces():
                assert len(piece) >= 0
        except WireError:
            assert not exchange.drained
        else:
            assert exchange.drained

    LOOP.run_until_complete(asyncio.wait_for(read(), 5))
