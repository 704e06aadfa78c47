"""Connections: stale ones, the limit, the queue, cancellation, addresses."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from engine.model.location import Origin
from engine.s3.wire.errors import ConnectFailed, PeerClosed, Stale
from engine.s3.wire.names import Names, Sockaddr
from engine.s3.wire.wire import Wire
from tests.support.wire import OK, Call, HandClock, Peer, Script, answers, forever, get, put, reached, until


def closes_on_second(*, reset: bool) -> Script:
    async def play(call: Call) -> None:
        await call.request()
        await call.write(OK)
        await call.head()
        if reset:
            call.reset()

    return play


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("body", [None, b"", b"hi", memoryview(b"hi"), b"x" * 300_000])
async def test_a_stale_connection_costs_one_resend_where_the_body_can_be_sent_again(
    body: bytes | memoryview | None, reset: bool
) -> None:
    size = len(body or b"")
    head = get() if body is None else put(size)
    async with Peer(closes_on_second(reset=reset), forever(OK)) as peer, Wire(limit=2, clock=HandClock()) as client:
        await client.request(peer.origin, get(), method="GET")
        await client.request(peer.origin, head, body, method="PUT")
        assert peer.accepted == 2
        assert peer.bodies[-1] == bytes(body or b"")


async def test_a_stream_on_a_stale_connection_is_asked_for_again() -> None:
    async with (
        Peer(closes_on_second(reset=False), forever(OK)) as peer,
        Wire(limit=2, clock=HandClock()) as client,
    ):
        await client.request(peer.origin, get(), method="GET")
        async with client.stream(peer.origin, get(), method="GET") as reply:
            assert b"".join([bytes(piece) async for piece in reply.chunks()]) == b"hi"
        assert peer.accepted == 2


async def test_a_resend_never_goes_out_on_another_old_connection() -> None:
    async with Peer(closes_on_second(reset=False)) as peer, Wire(limit=4, clock=HandClock()) as client:
        await asyncio.gather(*(client.request(peer.origin, get(), method="GET") for _ in range(4)))
        assert client.stats.idle == 4
        await client.request(peer.origin, get(), method="GET")
        assert peer.accepted == 5


async def test_a_new_connection_that_dies_is_not_tried_again() -> None:
    async def play(call: Call) -> None:
        await call.request()

    async with Peer(play) as peer, Wire(limit=2, clock=HandClock()) as client:
        with pytest.raises(PeerClosed) as caught:
            await client.request(peer.origin, get(), method="GET")
        assert not isinstance(caught.value, Stale)
        assert peer.accepted == 1


async def test_an_answer_cut_short_on_a_reused_connection_is_not_stale() -> None:
    async with (
        Peer(answers(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")) as peer,
        Wire(limit=2, clock=HandClock()) as client,
    ):
        await client.request(peer.origin, get(), method="GET")
        with pytest.raises(PeerClosed) as caught:
            await client.request(peer.origin, get(), method="GET")
        assert not isinstance(caught.value, Stale)
        assert peer.accepted == 1


async def test_a_connection_closed_while_idle_is_never_handed_out() -> None:
    clock = HandClock()
    async with Peer(answers(OK), forever(OK)) as peer, Wire(limit=2, clock=clock) as client:
        await client.request(peer.origin, get(), method="GET")
        await until(lambda: client.stats.open == 0)
        await client.request(peer.origin, get(), method="GET")
        assert peer.accepted == 2


async def test_a_farewell_that_the_loop_has_not_read_yet_is_seen_in_the_kernel() -> None:
    clock = HandClock()
    goodbye = asyncio.Event()

    async def play(call: Call) -> None:
        await call.request()
        await call.write(OK)
        await goodbye.wait()
        call.eof()
        gone.set()

    gone = asyncio.Event()
    async with Peer(play, forever(OK)) as peer, Wire(limit=2, clock=clock) as client:
        await client.request(peer.origin, get(), method="GET")
        clock.advance(1)
        goodbye.set()
        await gone.wait()  # the end of stream lies in the socket; the client's side of the loop has not run yet
        await client.request(peer.origin, get(), method="GET")
        assert peer.accepted == 2


async def test_the_connection_used_last_is_used_next() -> None:
    async with Peer(forever(OK)) as peer, Wire(limit=3, clock=HandClock()) as client:
        await asyncio.gather(*(client.request(peer.origin, get(), method="GET") for _ in range(3)))
        for _ in range(5):
            await client.request(peer.origin, get(), method="GET")
        assert peer.accepted == 3
        assert client.stats.idle == 3


async def test_the_limit_holds_and_the_queue_is_fair() -> None:
    limiters = asyncio.Semaphore(0)
    flying, most = 0, 0

    async def play(call: Call) -> None:
        nonlocal flying, most
        while True:
            await call.request()
            flying += 1
            most = max(most, flying)
            await limiters.acquire()
            flying -= 1
            await call.write(OK)

    ended: list[int] = []
    async with Peer(play) as peer, Wire(limit=3, clock=HandClock()) as client:

        async def ask(n: int) -> None:
            await client.request(peer.origin, get(f"/{n}"), method="GET")
            ended.append(n)

        tasks = []
        for n in range(12):
            tasks.append(asyncio.create_task(ask(n)))
            await asyncio.sleep(0)
        await until(lambda: flying == 3)
        for n in range(12):
            limiters.release()
            await until(reached(lambda: len(ended), n + 1))
        await asyncio.gather(*tasks)
        assert most == 3
        assert peer.accepted == 3
        assert [head.split()[1] for head in peer.heads[3:]] == [f"/{n}".encode() for n in range(3, 12)]


async def test_another_origin_takes_the_place_of_an_idle_connection() -> None:
    async with Peer(forever(OK)) as one, Peer(forever(OK)) as other, Wire(limit=1, clock=HandClock()) as client:
        for peer in (one, other, one):
            await client.request(peer.origin, get(), method="GET")
            assert client.stats.open == 1
        assert (one.accepted, other.accepted) == (2, 1)


async def test_a_busy_origin_does_not_starve_another() -> None:
    async with Peer(forever(OK)) as one, Peer(forever(OK)) as other, Wire(limit=2, clock=HandClock()) as client:
        async with asyncio.TaskGroup() as crew:
            for peer, _ in itertools.product((one, other), range(20)):
                crew.create_task(client.request(peer.origin, get(), method="GET"))
        assert (len(one.heads), len(other.heads)) == (20, 20)
        assert client.stats.open <= 2


async def test_a_cancelled_request_drops_its_connection() -> None:
    async def play(call: Call) -> None:
        await call.request()
        closed.append(await call.until_closed())

    closed: list[bytes] = []
    async with Peer(play, forever(OK)) as peer, Wire(limit=1, clock=HandClock()) as client:
        asking = asyncio.create_task(client.request(peer.origin, get(), method="GET"))
        await until(lambda: len(peer.heads) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await client.request(peer.origin, get(), method="GET")).status == 200
        await until(lambda: closed == [b""])
        assert peer.accepted == 2


async def test_cancelled_waiters_leave_no_slot_behind() -> None:
    async with Peer(forever(OK)) as peer, Wire(limit=2, clock=HandClock()) as client:
        for round_ in range(40):
            tasks = [asyncio.create_task(client.request(peer.origin, get(), method="GET")) for _ in range(10)]
            for _ in range(round_):
                await asyncio.sleep(0)
            for task in tasks[round_ % 3 :: 2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        replies = await asyncio.gather(*(client.request(peer.origin, get(), method="GET") for _ in range(10)))
        assert [reply.status for reply in replies] == [200] * 10
        assert client.stats.open <= 2


async def test_failing_dials_leave_no_slot_behind() -> None:
    async with Wire(limit=2, clock=HandClock()) as client:
        outcomes = await asyncio.gather(
            *(client.request(Origin("http", "127.0.0.1", 1), get(), method="GET") for _ in range(20)),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} == {ConnectFailed}
        assert client.stats.open == 0


async def test_each_address_is_tried_in_turn_and_only_those() -> None:
    asked: list[tuple[str, int]] = []
    async with Peer(forever(OK)) as peer:

        async def resolve(host: str, port: int) -> list[Sockaddr]:
            asked.append((host, port))
            return [("127.0.0.1", 1), ("::1", 1, 0, 0), ("127.0.0.1", peer.port)]

        async with Wire(limit=1, clock=HandClock(), resolve=resolve) as client:
            reply = await client.request(Origin("http", "bucket.test", 8080), get(), method="GET")
        assert reply.status == 200
        assert asked == [("bucket.test", 8080)]


async def test_a_resolver_may_refuse_in_its_own_words() -> None:
    class NotThere(Exception):
        pass

    async def refuse(host: str, port: int) -> list[Sockaddr]:
        raise NotThere(host)

    async def nothing(host: str, port: int) -> list[Sockaddr]:
        return []

    origin = Origin("http", "metadata", 80)
    async with Wire(limit=1, clock=HandClock(), resolve=refuse) as client:
        for _ in range(3):
            with pytest.raises(NotThere):
                await client.request(origin, get(), method="GET")
    async with Wire(limit=1, clock=HandClock(), resolve=nothing) as client:
        with pytest.raises(ConnectFailed, match="no address"):
            await client.request(origin, get(), method="GET")


async def test_names_are_remembered_for_a_minute_and_asked_for_once_at_a_time() -> None:
    class Counting(Names):
        asked = 0

        async def _ask(self, host: str, port: int) -> list[Sockaddr]:
            self.asked += 1
            await asyncio.sleep(0)
            return [("192.0.2.1", port), ("192.0.2.2", port)]

    clock = HandClock()
    names = Counting(clock)
    found = await asyncio.gather(*(names("bucket.test", 443) for _ in range(4)))
    assert [addresses[0][0] for addresses in found] == ["192.0.2.1", "192.0.2.2"] * 2
    clock.advance(59)
    await names("bucket.test", 443)
    assert names.asked == 1
    clock.advance(2)
    await names("bucket.test", 443)
    assert names.asked == 2


async def test_a_name_that_does_not_exist_is_a_failed_connection() -> None:
    async with Wire(limit=1, clock=HandClock()) as client:
        with pytest.raises(ConnectFailed, match="no address of"):
            await client.request(Origin("http", "no-such-host.invalid", 80), get(), method="GET")
