"""Workers on a Dask cluster that somebody else has started.

| what happens                                | what follows                                                           |
|---------------------------------------------|------------------------------------------------------------------------|
| the run starts                              | every worker is greeted; one of other settings ends the run            |
| a worker joins later                        | it is greeted and used; one of other settings is left out, and named   |
| a worker leaves, or is not heard of         | its batches are lost, and go out again                                 |
| the scheduler is gone                       | Paused: what came back is recorded                                     |

Each batch is bound to one worker, so Dask itself never repeats it elsewhere. Batches, results and signs of life are
bytes to Dask, and travel through the scheduler: this machine opens no connection but to that.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import structlog

from engine.limiting.clock import Clock
from engine.model.errors import Blocked, Fatal, Paused
from engine.pipeline.work_batches import Lost, Seat, Told
from engine.runs.executors import dask_worker
from engine.runs.executors.dask_client import GONE, connected, dashboard
from engine.runs.executors.dask_seat import DaskWorker
from engine.runs.executors.hello import Hello
from engine.runs.executors.session import BEAT_S, SILENT_S
from engine.settings.executor import ExecutorSettings

END_S = 5.0
"""How long workers may take to end their sessions."""
GREETED_S = 30.0
"""How long the first ones may take to open theirs; who takes longer is used later."""
FUTILE = 5
"""So many times each, on average, workers may be lost in a row without one batch done: more than a single bad file can
cost."""

log = structlog.get_logger()


@asynccontextmanager
async def open_dask(
    settings: ExecutorSettings, hello: Hello, clock: Clock, say: Callable[[str], None], *, silent_s: float = SILENT_S
) -> AsyncIterator[DaskCluster]:
    """The workers of a cluster for the length of the block. Raises Blocked."""
    client = await connected(settings)
    cluster = DaskCluster(client, settings, hello, clock, say, silent_s)
    try:
        yield cluster
    finally:
        await cluster.close()


class DaskCluster:
    """Fits ``Executor``."""

    def __init__(
        self,
        client: Any,
        settings: ExecutorSettings,
        hello: Hello,
        clock: Clock,
        say: Callable[[str], None],
        silent_s: float,
    ) -> None:
        self._client = client
        self._settings = settings
        self._hello = hello
        self._clock = clock
        self._say = say
        self._silent_s = silent_s
        self._members: dict[str, Any] = {}
        """By address, as the scheduler tells of them."""
        self._workers: dict[str, DaskWorker] = {}
        """Those that work for this run."""
        self._met: set[str] = set()
        """Ids of those that were greeted."""
        self._refused: set[str] = set()
        """Of these, those that may not work for this run."""
        self._came: asyncio.Queue[DaskWorker | Exception] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._futile = 0
        self._stopping = False

    @property
    def count(self) -> int:
        return max(1, sum(each["id"] not in self._refused for each in self._members.values()))

    async def seats(self, told: Told) -> AsyncIterator[Seat]:
        """See ``Executor``. Raises Blocked where a worker of the start may not work for this run; Paused where the
        scheduler is gone, or no worker is there."""
        self._client.subscribe_topic(dask_worker.TOPIC, lambda event: self._hear(told, event))
        self._go(self._follow(told))
        self._go(self._stay_known())
        while True:
            worker = await self._came.get()
            if isinstance(worker, Exception):
                raise worker
            for _ in range(self._settings.leases_in_hand):
                yield worker

    async def stop(self) -> None:
        self._stopping = True
        await self._ask_all(dask_worker.stop, self._hello.run, self._hello.drain_s)

    async def close(self) -> None:
        """End all sessions of this run, and leave the cluster as it was."""
        self._stopping = True
        await self._ask_all(dask_worker.end, self._hello.run)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with suppress(*GONE):
            async with asyncio.timeout(END_S):
                await self._client.close()

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nobody waits for this task: who asks for seats shall have it
            for worker in self._workers.values():
                worker.lose(str(error))
            self._came.put_nowait(error)

    async def _follow(self, told: Told) -> None:
        """Look at the cluster about once a second: who has come, who has left, who is silent."""
        begun, before = False, self._clock.monotonic()
        alone = before
        while True:
            await self._look()
            now = self._clock.monotonic()
            if now - before > self._silent_s / 2:  # it is this process that was stopped
                self._hear_all(now)
            self._let_go(told, now)
            new = [each for each in self._members.values() if each["id"] not in self._met]
            if not begun and new:
                begun = True
                self._introduce(new)
                await self._first(new)
            else:
                for each in new:
                    self._go(self._later(each))
            alone = now if self._workers else alone
            if now - alone > self._silent_s:
                raise self._paused(f"no worker of the cluster at {self._settings.address} is of use")
            before = now
            await self._clock.sleep(BEAT_S)

    async def _look(self) -> None:
        """Raises Paused where the scheduler is gone."""
        try:
            if self._client.status == "running":
                async with asyncio.timeout(self._silent_s / 2):
                    self._members = (await self._client.scheduler.identity(n_workers=-1))["workers"]
                    for address, member in self._members.items():
                        member["address"] = address
                return
        except GONE as error:
            log.warning("scheduler_gone", why=f"{type(error).__name__}: {error}")
        raise self._paused(f"the Dask scheduler at {self._settings.address} is gone")

    def _hear_all(self, now: float) -> None:
        for worker in self._workers.values():
            worker.heard = now

    def _let_go(self, told: Told, now: float) -> None:
        for worker in list(self._workers.values()):
            member = self._members.get(worker.address)
            if member is None or member["id"] != worker.id:
                worker.lose("it has left the cluster")
            elif now - worker.heard > self._silent_s:
                worker.lose(f"nothing was heard of it for {now - worker.heard:.0f} s")
            if not worker.lost.done():
                continue
            del self._workers[worker.address]
            self._met.discard(worker.id)
            told.gone(worker.worker)
            self._futile = 0 if worker.done else self._futile + 1
            if self._futile > FUTILE * self.count and not self._stopping:
                raise self._paused(f"workers are lost before they have done anything: {worker.lost.result()}")

    def _paused(self, why: str) -> Paused:
        return Paused(why, hint="--executor local works in this process")

    def _introduce(self, members: list[Any]) -> None:
        """For the person, before the first batch."""
        threads = sum(member["nthreads"] for member in members)
        at = dashboard(self._client)
        where = f"; its dashboard is {at}" if at else ""
        self._say(f"Dask at {self._settings.address}: {len(members)} workers, {threads} threads{where}")
        wanted = self._settings.leases_in_hand
        few = [DaskWorker.name_of(member) for member in members if member["nthreads"] < wanted]
        if few:
            self._say(
                f"{', '.join(few[:3])}{' and others' if len(few) > 3 else ''}: fewer threads than "
                f"executor.leases_in_hand ({wanted}), so batches wait for each other there; "
                f"start workers with --nthreads {wanted} or more"
            )

    async def _first(self, members: Iterable[Any]) -> None:
        """Greet the workers of the start, all before the first batch goes out. Raises Blocked where one may not work
        for this run."""
        tasks = [asyncio.ensure_future(self._greet(member)) for member in members]
        done, slow = await asyncio.wait(tasks, timeout=GREETED_S)
        for task in slow:
            task.cancel()
        for worker in [task.result() for task in done]:
            if worker is not None:
                self._came.put_nowait(worker)

    async def _later(self, member: Any) -> None:
        try:
            if (worker := await self._greet(member)) is not None:
                self._came.put_nowait(worker)
        except Fatal as error:
            self._refused.add(member["id"])
            log.warning("worker_refused", worker=DaskWorker.name_of(member), why=str(error))

    async def _greet(self, member: Any) -> DaskWorker | None:
        """Have a worker open its session; None: it is not there any more. Raises Fatal where it may not work for this
        run."""
        address, name = member["address"], DaskWorker.name_of(member)
        self._met.add(member["id"])
        hello = replace(self._hello, workers=self.count, now=self._clock.now())
        greeting = pickle.dumps((hello, self._silent_s), pickle.HIGHEST_PROTOCOL)
        error: Any = Lost("it does not answer")
        try:
            error = await self._ask(dask_worker.begin, address, greeting)
        finally:
            if isinstance(error, Lost | OSError):
                self._met.discard(member["id"])  # it may be there again when the next look is taken
        if isinstance(error, Fatal):
            raise type(error)(f"worker {name}: {error}", hint=error.hint)
        if isinstance(error, Lost | OSError):
            return None
        if error is not None:
            why = f"worker {name} cannot load this engine: {type(error).__name__}: {error}"
            raise Blocked(why, hint="workers need the same engine and the same settings as the run")
        worker = DaskWorker(self._client, self._hello.run, member, self._clock.monotonic())
        self._workers[address] = worker
        return worker

    async def _ask(self, function: Callable[..., Any], address: str, argument: bytes) -> Any:
        """What one worker answers, or the error that kept it from answering."""
        try:
            answers = await self._client.run(function, argument, workers=[address], on_error="return")
        except GONE as error:
            return Lost(str(error))
        answer = answers.get(address, Lost("it has left"))
        return pickle.loads(answer) if isinstance(answer, bytes) else answer  # noqa: S301 - see ``dask_worker``

    async def _ask_all(self, function: Callable[..., Any], *arguments: object) -> None:
        """All workers of this run, for a few seconds."""
        if not self._workers or self._client.status != "running":
            return
        with suppress(*GONE):
            async with asyncio.timeout(END_S):
                await self._client.run(function, *arguments, workers=list(self._workers), on_error="ignore")

    async def _stay_known(self) -> None:
        while True:
            await self._clock.sleep(self._silent_s / 3)
            await self._ask_all(dask_worker.heard, self._hello.run)

    def _hear(self, told: Told, event: tuple[float, bytes]) -> None:
        run, address, beat = pickle.loads(event[1])  # noqa: S301 - see ``dask_worker``
        worker = self._workers.get(address)
        if run == self._hello.run and worker is not None:
            worker.heard = self._clock.monotonic()
            told.beat(worker.worker, beat)
