"""One worker of a Dask cluster, as the dispatcher sees it."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

from engine.pipeline.work_batches import Lost, NotBegun, WorkBatch, WorkResult
from engine.runs.executors import dask_worker
from engine.runs.executors.dask_client import result_of


class DaskWorker:
    """Fits ``Seat``."""

    def __init__(self, client: Any, run: str, member: Any, now: float) -> None:
        self.address: str = member["address"]
        self.id: str = member["id"]
        self.worker = self.name_of(member)
        self.heard = now
        self.done = 0
        """Batches brought back."""
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        """Why, once it is."""
        self._client = client
        self._run = run

    @staticmethod
    def name_of(member: Any) -> str:
        """For people."""
        return str(member["name"]).rpartition("://")[2]

    def lose(self, why: str) -> None:
        """Give up what it has in hand."""
        if not self.lost.done():
            self.lost.set_result(why)

    async def do(self, batch: WorkBatch) -> WorkResult:
        if self._client.status != "running":
            self.lose("the scheduler is gone")
        if self.lost.done():
            raise NotBegun(self.lost.result())
        future = self._client.submit(
            dask_worker.do,
            self._run,
            pickle.dumps(batch, pickle.HIGHEST_PROTOCOL),
            key=f"engine-{self._run}-{batch.number}",
            workers=[self.address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        answering: asyncio.Future[Any] = asyncio.ensure_future(result_of(future))
        try:
            await asyncio.wait([answering, self.lost], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise Lost(self.lost.result())
            answer = pickle.loads(answering.result())  # noqa: S301 - see ``dask_worker``
        finally:
            answering.cancel()
            future.release()
        if isinstance(answer, Lost):
            self.lose(str(answer))
        if isinstance(answer, Exception):
            raise answer
        self.done += 1
        return answer  # type: ignore[no-any-return]
