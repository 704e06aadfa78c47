"""One process: from its first step to its end, its death, or its getting stuck. What goes wrong in it is planned."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from engine.model.errors import Fatal
from engine.runs.shared.report import first_fatal
from engine.runs.shared.world import WORLD, World
from engine.s3.api.service import Service
from engine.s3.transport import Clients
from engine.salesforce.faults import from_network
from engine.salesforce.http import Answer
from engine.tracking.db.connect import open_writer
from tests.simulation.bucket import SimClient
from tests.simulation.connection import SimConnection
from tests.simulation.disk import SimDisk
from tests.simulation.incidents import Ended, Fault, Incidents
from tests.simulation.loop import Killed, SimClock, SimLoop, Stuck
from tests.simulation.org import HTML, LONGEST_CALL_S
from tests.simulation.records import Reply, Request
from tests.simulation.web import SimWeb

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

READ_TIMEOUT_S = 150.0
"""Of silence, after which the client gives up."""
SYNC_FULL = 2


class Life:
    """``world`` goes on when it is over."""

    def __init__(self, world: SimWorld, number: int, chance: random.Random, incidents: Incidents) -> None:
        self.world = world
        self.number = number
        self.steps = 0
        self.dead = False
        self.over = False
        self.incidents = incidents
        self.chance = chance
        self.clock = SimClock(world.timeline, chance, incidents.skew_s)
        self.loop = SimLoop(world.timeline, chance, incidents.manner)
        self.loop.on_thread = self.step
        self._databases: list[sqlite3.Connection] = []
        self._org_calls = 0
        self._scan_calls = 0
        self._store_calls = 0
        self._disk_steps = 0
        self._disk_is = ""
        """``full``, or ``read-only``, from an operation on."""

    # its course

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Ended:
        ended = self._run(main)
        ended.steps, ended.org_calls, ended.store_calls = self.steps, self._org_calls, self._store_calls
        self.over = True
        if self.dead:
            ended.how, ended.code, ended.report = "killed", -9, None
        self.loop.bury()
        for database in self._databases:
            with suppress(sqlite3.Error):
                database.close()
        if self.dead:
            self.world.reboot()
        return ended

    def _run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Ended:
        def beyond() -> asyncio.Future[Any]:
            WORLD.set(
                World(http=self._http, clients=self._clients, web=self._web, connect=self._connect, files=self._disk())
            )
            return self.loop.create_task(main())

        try:
            report = self.loop.run_until_complete(contextvars.copy_context().run(beyond))
        except Fatal as error:
            return Ended("refused", error.exit_code, error=error)
        except Killed:
            return Ended("killed")
        except Stuck as error:
            return Ended("stuck", error=error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            if self.dead:
                return Ended("killed")
            if (fatal := first_fatal(error)) is not None:
                return Ended("refused", fatal.exit_code, error=fatal)
            return Ended("broke", 1, error=error)
        return Ended("reported", report.exit_code, report)

    def step(self, what: str) -> None:
        """Something that matters is done, or about to be. Raises Killed where the process is dead, or dies here."""
        if self.dead or self.loop.ghost:
            raise Killed
        self.note(what)
        if self.dead:
            raise Killed

    def note(self, what: str) -> None:
        """The same, for what the world does."""
        if self.dead or self.over:
            return
        self.steps += 1
        self.world.on_step(self.number, self.steps)
        self.world.trace(f"{self.number}.{self.steps} {what}")
        for edit in self.incidents.edits.get(self.steps, ()):
            edit()
        if (number := self.incidents.signals.get(self.steps)) is not None:
            self.world.trace(f"signal {number}")
            self.loop.signal(number)
        if self.steps == self.incidents.kill:
            self._die()

    def _die(self) -> None:
        if self.dead or self.over:
            return
        self.world.trace("killed")
        self.world.freeze(power=self.incidents.power)
        self.dead = self.loop.dead = True

    # what it finds beyond itself

    @asynccontextmanager
    async def _http(self, _network: object) -> AsyncIterator[Any]:
        yield self

    @asynccontextmanager
    async def _web(self, *_: object, **__: object) -> AsyncIterator[SimWeb]:
        yield SimWeb(self.world.store, self.step)

    def _disk(self) -> SimDisk:
        disk = self.world.disk
        disk.chance, disk.at_work = self.chance, self._disk_step
        return disk

    def _disk_step(self, what: str, size: int) -> int:
        """How many of the bytes to be written fit."""
        self.step(what)
        if (fault := self.disk_fault()) == "full" and what.startswith(("create", "open")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if fault == "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if fault == "read-only" and not what.startswith("sync"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return int(size * self.chance.random()) if fault == "full" and what.startswith("write") else size

    def disk_fault(self) -> str:
        """Of the operation that comes next."""
        self._disk_steps += 1
        if fault := self.incidents.disk.get(self._disk_steps, ""):
            self.world.trace(f"disk: {fault}")
            self._disk_is = self._disk_is or (fault if fault != "broken" else "")
        return self._disk_is or fault

    async def _connect(self, opener: Callable[[], sqlite3.Connection]) -> SimConnection:
        if self.dead or self.loop.ghost:
            raise Killed
        database = opener()
        self._databases.append(database)
        writes = isinstance(opener, partial) and opener.func is open_writer
        if writes:
            self.world.commits_are_durable = database.execute("PRAGMA synchronous").fetchone()[0] >= SYNC_FULL
        return SimConnection(self, database, writes=writes)

    async def _clients(
        self, _stack: AsyncExitStack, _transport: object, source: Service, destination: Service, **_: object
    ) -> Clients:
        client = SimClient(self.world.store, self._store_fate, self.step)
        return Clients(source.limited(client), destination.limited(client), _no_control)

    def _store_fate(self, _what: str) -> tuple[float, float, str]:
        self._store_calls += 1
        fault = self.incidents.store.get(self._store_calls)
        carry, answer = self.chance.uniform(0.001, 0.03), self.chance.uniform(0.001, 0.02)
        if fault is None:
            return carry, answer, ""
        self.world.trace(f"store: {fault.kind}")
        if fault.kind == "slow":
            return carry + fault.seconds, answer, ""
        return carry, answer + fault.seconds, fault.kind

    # the org, as this process meets it

    async def send(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """As ``Http.send``."""
        self.step(f"> {method} {url.partition('?')[0]}")
        request = self.world.org.sent(self.number, method, url, headers, body)
        fault = self._fault_for(request)
        future: asyncio.Future[Reply] = self.loop.create_future()
        self._travel(request, fault, future)
        if "composite" in request.path and self._org_calls == self.incidents.kill_call:
            self.world.timeline.after(self.chance.uniform(0.0, 0.4), self._die)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                reply = await future
        except TimeoutError as error:
            request.given_up = True
            raise from_network(error, host="sim") from None
        except aiohttp.ClientError as error:
            request.given_up = True
            raise from_network(error, host="sim") from None
        except BaseException:
            request.given_up = True
            raise
        if request.is_write and reply.status < 300 and fault.kind in {"", "slow"}:
            self.world.org.heard[request.number] = self.number
        self.step(f"< {request.number} {reply.status}")
        return Answer(reply.status, CIMultiDictProxy(CIMultiDict(reply.headers)), reply.body)

    def _fault_for(self, request: Request) -> Fault:
        if "composite" in request.path:
            self._org_calls += 1
            fault = self.incidents.org.get(self._org_calls, Fault(""))
        else:
            self._scan_calls += 1
            fault = self.incidents.scan.get(self._scan_calls, Fault(""))
        if fault.kind:
            self.world.trace(f"org: {fault.kind} {fault.seconds:g}")
        if fault.kind == "html" and not request.is_write:
            return Fault("")
        if fault.kind == "locators":
            self.world.org.forget_cursors()
            return Fault("")
        if fault.kind == "logged_out":
            self.world.org.log_out()
            return Fault("")
        return fault

    def _travel(self, request: Request, fault: Fault, future: asyncio.Future[Reply]) -> None:
        """Arrive, be carried out, be answered: each at its own time."""
        after, chance = self.world.timeline.after, self.chance
        up, down = chance.uniform(0.001, 0.04), chance.uniform(0.001, 0.04)
        work = chance.uniform(0.01, 0.6) if request.is_write else chance.uniform(0.005, 0.1)
        broken, change = aiohttp.ServerDisconnectedError(), f"{request.number}" if request.is_write else ""
        if fault.kind == "lost":
            after(up + fault.seconds, lambda: _tell(future, None, broken))
            return
        if fault.kind == "slow":
            work += min(fault.seconds, LONGEST_CALL_S)
        if fault.kind in {"cut", "silent"}:
            work += min(fault.seconds, LONGEST_CALL_S - 1)

        def carry_out() -> None:
            if fault.kind in _REFUSED:
                self.world.org.forget(request)
                reply = _REFUSED[fault.kind]
            else:
                reply = self.world.org.carry_out(request)
                self.world.trace(f"= {request.number}")
                self.note(f"= {request.number}")
            if fault.kind in {"cut", "silent"}:
                return
            if fault.kind == "html":
                reply = Reply(403, HTML, {"Content-Type": "text/html"})
            elif fault.kind == "bad_gateway":
                reply = Reply(502, HTML, {"Content-Type": "text/html"})
            elif fault.kind == "garbled":
                reply = Reply(200, reply.body[: len(reply.body) // 2], reply.headers)
            after(down, lambda: _tell(future, reply, None))

        def arrive() -> None:
            self.world.org.arrive(request)
            after(work, carry_out, change)
            if fault.kind == "cut":
                after(down, lambda: _tell(future, None, broken))

        after(up, arrive, change)


def _tell(future: asyncio.Future[Reply], reply: Reply | None, error: Exception | None) -> None:
    if future.done() or future.get_loop().is_closed():
        return
    if error is not None:
        future.set_exception(error)
    else:
        assert reply is not None
        future.set_result(reply)


_REFUSED = {
    "unavailable": Reply(503, b'[{"errorCode":"SERVER_UNAVAILABLE","message":"Server Unavailable"}]'),
    "spent": Reply(403, b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]'),
}


async def _no_control() -> Any:
    raise NotImplementedError


Main = Callable[[], Awaitable[Any]]
