"""Workers as child processes of the run, each with a loop, an S3 connection pool and a core of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import structlog

from engine.limiting.clock import Clock
from engine.model.errors import Fatal, Paused
from engine.model.surroundings import command, plain
from engine.model.text import printable
from engine.pipeline.work_batches import Lost, NotBegun, Seat, Told, WorkBatch, WorkResult
from engine.reading.keys import known_keys
from engine.runs.executors import frames
from engine.runs.executors.hello import Hello
from engine.runs.executors.session import BEAT_S, SILENT_S

MODULE = "engine.commands.worker"
"""What a child runs. It stands above this room, so it is only named here."""
FUTILE = 5
"""So many children a place may lose in a row without one batch done: more than a single bad file can cost. Then
starting more makes no sense."""
END_S = 5.0
"""How long a child may take to end when it is told to, and to abort its uploads."""
_NEEDED = ("HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "CREDENTIALS_DIRECTORY")
_SETTINGS = ("ENGINE_", "AWS_")
_STORES = {"source", "destination", "network"}
_LAST_WORDS = 2_000

log = structlog.get_logger()


@asynccontextmanager
async def open_processes(
    workers: int, in_hand: int, hello: Hello, clock: Clock, *, silent_s: float = SILENT_S
) -> AsyncIterator[Processes]:
    """So many children for the length of the block; each may have ``in_hand`` batches at once."""
    pool = Processes(workers, in_hand, hello, clock, silent_s)
    try:
        yield pool
    finally:
        await pool.close()


class Processes:
    """Fits ``Executor``. A child that is lost is replaced."""

    def __init__(self, workers: int, in_hand: int, hello: Hello, clock: Clock, silent_s: float) -> None:
        self.count = workers
        self._in_hand = in_hand
        self._hello = hello
        self._clock = clock
        self._silent_s = silent_s
        self._numbers = count(1)
        self._came: asyncio.Queue[_Child | Exception] = asyncio.Queue()
        self.children: set[_Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._begun = False
        """One has come up: those after it only take the place of a lost one."""

    async def seats(self, told: Told) -> AsyncIterator[Seat]:
        """See ``Executor``. Raises Paused where children die again and again before they have done anything."""
        for _ in range(self.count):
            self._go(self._keep_one(told))
        self._go(self._watch())
        while True:
            child = await self._came.get()
            if isinstance(child, Exception):
                raise child
            self._begun = True
            for _ in range(self._in_hand):
                yield child

    async def stop(self) -> None:
        self._stopping = True
        for child in self.children:
            child.send(("stop", self._hello.drain_s))

    async def close(self) -> None:
        """End all children, whatever they have in hand: by themselves, or else by force."""
        self._stopping = True
        for child in self.children:
            child.send(("end",))
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                for child in list(self.children):
                    await child.process.wait()
        for child in self.children:
            child.kill()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_one(self, told: Told) -> None:
        """One place: a child, and the next where it is lost."""
        futile, words = 0, ""
        try:
            while not self._stopping:
                try:
                    child = await self._one(told)
                    futile, words = 0 if child.done else futile + 1, child.last_words()
                except Fatal as refused:  # said by one of the start it ends the run, which has done nothing yet
                    if not self._begun:
                        raise
                    log.warning("worker_refused", why=str(refused))
                    futile, words = futile + 1, str(refused)
                if futile == FUTILE:
                    raise _useless(words or "they say nothing")
        except OSError as error:
            self._came.put_nowait(_useless(f"none can be started: {error}"))
        except Exception as error:  # noqa: BLE001 - nobody waits for this task: who asks for seats shall have it
            self._came.put_nowait(error)

    async def _one(self, told: Told) -> _Child:
        """From its start to its end. Raises Fatal where it may not work for this run, OSError where it cannot start."""
        child = await _Child.start(next(self._numbers), self._hello, self._clock, self._silent_s)
        self.children.add(child)
        try:
            await child.listen(told, self._came)
        finally:
            child.kill()
            told.gone(child.worker)
            self.children.discard(child)
        return child

    async def _watch(self) -> None:
        """Give up children that say nothing, unless it is this process that was stopped meanwhile."""
        before = self._clock.monotonic()
        while True:
            await self._clock.sleep(BEAT_S)
            now = self._clock.monotonic()
            for child in self.children:
                if now - before > self._silent_s / 2:
                    child.heard = now
                elif now - child.heard > self._silent_s:
                    child.kill()
            before = now


def _surroundings(around: Mapping[str, str]) -> dict[str, str]:
    """What a worker needs of the run's environment: no secret that opens more than the stores."""
    private = {key.variable for way, key in known_keys().items() if key.is_secret and way[0] not in _STORES}
    return {name: held for name, held in plain(around, _NEEDED, _SETTINGS).items() if name not in private}


def _useless(why: str) -> Paused:
    return Paused(f"workers end before they have done anything: {why}", hint="--executor local works in this process")


class _Child:
    """One worker. Fits ``Seat``."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        clock: Clock,
    ) -> None:
        self.worker = f"worker {number}"
        self.process = process
        self.done = 0
        """Batches brought back."""
        self.heard = clock.monotonic()
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._waiting: dict[int, asyncio.Future[WorkResult]] = {}
        self._lost = False
        self._words = bytearray()
        self._listening = asyncio.ensure_future(self._overhear())

    @classmethod
    async def start(cls, number: int, hello: Hello, clock: Clock, silent_s: float) -> _Child:
        """A process that has been told what it is for."""
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            *command(MODULE),
            stdin=theirs.fileno(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=_surroundings(os.environ),
            start_new_session=True,
        )
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(number, process, reader, writer, clock)
        child.send((hello, silent_s))
        return child

    def send(self, message: object) -> None:
        if not self._writer.is_closing():
            self._writer.write(frames.packed(message))

    async def do(self, batch: WorkBatch) -> WorkResult:
        if self._lost:
            raise NotBegun(self.last_words())
        future: asyncio.Future[WorkResult] = asyncio.get_running_loop().create_future()
        self._waiting[batch.number] = future
        self.send(("batch", batch))
        try:
            return await future
        finally:
            self._waiting.pop(batch.number, None)

    async def listen(self, told: Told, came: asyncio.Queue[_Child | Exception]) -> None:
        """Until it is gone. Raises Fatal where it may not work for this run."""
        try:
            while (message := await frames.read(self._reader)) is not None:
                self.heard = self._clock.monotonic()
                match message:
                    case ("ready", _):
                        came.put_nowait(self)
                    case ("beat", beat):
                        told.beat(self.worker, beat)
                    case ("done", number, result):
                        self.done += 1
                        self._settle(number, result)
                    case ("failed", number, error):
                        self._settle(number, error)
                    case ("refused", error):
                        raise error
        finally:
            self._lost = True
            ended = asyncio.ensure_future(self.process.wait())
            try:
                await asyncio.wait({self._listening, ended}, timeout=1)  # for its last words
            finally:
                ended.cancel()
                for number in list(self._waiting):
                    self._settle(number, Lost(self.last_words()))

    def _settle(self, number: int, found: WorkResult | Exception) -> None:
        future = self._waiting.get(number)
        if future is None or future.done():
            return
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)

    async def _overhear(self) -> None:
        """Keep the end of what it prints on stderr: a crash tells its reason there."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.read(4096):
            self._words += line
            del self._words[:-_LAST_WORDS]

    def last_words(self) -> str:
        lines = printable(self._words.decode(errors="replace")).strip().splitlines()
        ended = "" if self.process.returncode is None else f"{self.worker} ended with {self.process.returncode}"
        return ": ".join(each for each in (ended, lines[-1] if lines else "") if each)

    def kill(self) -> None:
        """At once, even where it is stopped."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
        self._writer.close()
