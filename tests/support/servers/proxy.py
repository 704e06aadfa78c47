"""A TCP proxy that fails by rule: ``async with fault_proxy(server.url, Rule("cut", at=100)) as proxy``.

It knows no more of HTTP than the blank line after a head, and interim (1xx) answers. An exchange is what the client
sends until the server answers, and the answer. So it stands before any server whose clients do not pipeline.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from engine.limiting.clock import Clock, SystemClock
from engine.rehearsal.object_faults import share_of
from tests.support.servers.streams import LIMIT, finish, reset, serving

_BLANK = b"\r\n\r\n"
_INTERIM = re.compile(rb"HTTP/1\.1 1\d\d .*?\r\n\r\n", re.DOTALL)
_PIECE = 65536


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to fail. Of the rules that match an exchange the first one that fires decides.

    ``reset``: RST; ``when`` "before" the request is passed on, or "after" the server has begun to answer.
    ``cut``: end the connection after ``at`` bytes of the answer's body, with RST if ``hard``.
    ``stall``: the same place, but keep silent for good. ``delay``: ``seconds`` before the answer.
    ``drip``: the body in pieces of ``piece`` bytes, ``seconds`` before each. ``flip``: one wrong bit at ``at`` of it.

    ``connections`` picks connections by number from 1, ``head`` is searched in the request's head, ``nth`` picks
    matching exchanges by number from 1, ``rate`` picks this share of them by seed, request line and how often it was
    seen, ``times`` ends the rule after so many hits.
    """

    kind: Literal["reset", "cut", "stall", "delay", "drip", "flip"]
    connections: tuple[int, ...] = ()
    head: bytes = b""
    nth: tuple[int, ...] = ()
    rate: float = 1.0
    times: int | None = None
    seed: int = 0
    when: Literal["before", "after"] = "before"
    at: int = 0
    hard: bool = False
    seconds: float = 0.0
    piece: int = 1


class FaultProxy:
    """What the proxy saw and did: ``url``, ``connections``, ``exchanges``, and ``fired`` by the number of the rule."""

    def __init__(self, upstream: str, rules: tuple[Rule, ...], clock: Clock) -> None:
        address = urlsplit(upstream)
        self.upstream = address.hostname or "", address.port or 80
        self.clock = clock
        self.url = ""
        self.connections = 0
        self.exchanges = 0
        self.rules = rules
        self.fired: Counter[int] = Counter()
        self._met: Counter[int] = Counter()
        self._seen: Counter[tuple[int, bytes]] = Counter()

    def misbehave(self, *rules: Rule) -> None:
        """These rules from now on, counted from zero."""
        self.rules = rules
        for counter in (self.fired, self._met, self._seen):
            counter.clear()

    def decide(self, connection: int, head: bytes) -> Rule | None:
        """The rule this exchange falls to; counts it."""
        self.exchanges += 1
        for number, rule in enumerate(self.rules):
            if rule.connections and connection not in rule.connections:
                continue
            if re.search(rule.head, head) and self._fires(number, rule, head.partition(b"\r\n")[0]):
                self.fired[number] += 1
                return rule
        return None

    def _fires(self, number: int, rule: Rule, line: bytes) -> bool:
        self._met[number] += 1
        self._seen[number, line] += 1
        if rule.times is not None and self.fired[number] >= rule.times:
            return False
        if rule.nth and self._met[number] not in rule.nth:
            return False
        return share_of(f"{rule.seed} {line!r} {self._seen[number, line]}") < rule.rate

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, and ours to the server."""
        self.connections += 1
        number = self.connections
        there, back = await asyncio.open_connection(*self.upstream, limit=LIMIT)
        link = _Link(self, number, reader, writer, there, back)
        asking = asyncio.create_task(link.ask())
        try:
            await link.answer()
            await finish(writer)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            back.transport.abort()


@contextlib.asynccontextmanager
async def fault_proxy(upstream: str, *rules: Rule, clock: Clock | None = None) -> AsyncIterator[FaultProxy]:
    """A proxy in front of ``upstream`` (a URL) for the length of the block."""
    proxy = FaultProxy(upstream, rules, clock or SystemClock())
    async with serving(proxy.handle) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


@dataclass(slots=True)
class _Exchange:
    """How far the current exchange is: ``head`` holds the answer's until it is whole, ``sent`` counts its body."""

    rule: Rule | None = None
    head: bytes = b""
    in_body: bool = False
    sent: int = 0


@dataclass(slots=True)
class _Link:
    proxy: FaultProxy
    number: int
    client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    exchange: _Exchange = field(default_factory=_Exchange)
    answered: bool = True
    client_gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self) -> None:
        """Pass on what the client sends, until it ends or a rule ends it."""
        try:
            await self._ask()
        finally:
            self.client_gone.set()

    async def _ask(self) -> None:
        head = b""
        while data := await self.client.read(_PIECE):
            if self.answered:
                head += data
                if _BLANK not in head and len(head) < _PIECE:
                    continue
                rule = self.proxy.decide(self.number, head.partition(_BLANK)[0])
                data, head = head, b""
                if rule is not None and rule.kind == "reset" and rule.when == "before":
                    reset(self.to_client)
                    self.to_server.transport.abort()
                    return
                self.exchange, self.answered = _Exchange(rule), False
            self.to_server.write(data)
            await self.to_server.drain()
        if self.to_server.can_write_eof():
            self.to_server.write_eof()

    async def answer(self) -> None:
        """Pass on what the server answers, until it ends or a rule ends it."""
        while data := await self.server.read(_PIECE):
            while not self.answered and (interim := _INTERIM.match(data)):
                await self._send(interim[0])
                data = data[interim.end() :]
            self.answered = self.answered or bool(data)
            if data and not await self._pass_on(self.exchange, data):
                return

    async def _pass_on(self, exchange: _Exchange, data: bytes) -> bool:
        """Send one piece of an answer as the rule has it; whether the connection goes on."""
        rule = exchange.rule
        if rule is None:
            return await self._send(data)
        if rule.kind == "reset":
            reset(self.to_client)
            return False
        if not exchange.in_body:
            exchange.head += data
            head, blank, data = exchange.head.partition(_BLANK)
            if not blank:
                return True
            exchange.in_body = True
            if rule.kind == "delay":
                await self.proxy.clock.sleep(rule.seconds)
            await self._send(head + blank)
        return await self._spoil(rule, exchange, data)

    async def _spoil(self, rule: Rule, exchange: _Exchange, body: bytes) -> bool:
        left = rule.at - exchange.sent
        exchange.sent += len(body)
        match rule.kind:
            case "cut" if left <= len(body):
                await self._send(body[: max(left, 0)])
                if rule.hard:
                    reset(self.to_client)
                return False
            case "stall" if left <= len(body):
                await self._send(body[: max(left, 0)])
                await self.client_gone.wait()
                return False
            case "flip" if 0 <= left < len(body):
                return await self._send(body[:left] + bytes([body[left] ^ 1]) + body[left + 1 :])
            case "drip":
                for start in range(0, len(body), rule.piece):
                    await self.proxy.clock.sleep(rule.seconds)
                    await self._send(body[start : start + rule.piece])
                return True
            case _:
                return await self._send(body)

    async def _send(self, data: bytes) -> bool:
        self.to_client.write(data)
        await self.to_client.drain()
        return True
