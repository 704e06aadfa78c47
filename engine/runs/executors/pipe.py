"""The child's side: hello, batches and stop come on its standard input, a socket; signs of life and results go back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from engine.limiting.clock import Clock
from engine.limiting.side_by_side import beside
from engine.model.errors import Fatal, leaves
from engine.pipeline.work_batches import Beat, Lost, WorkBatch
from engine.runs.executors import frames
from engine.runs.executors.kept_logs import KeptLogs
from engine.runs.executors.session import Session, open_session


class _Dismissed(Exception):
    """The run wants nothing more, or is gone: whatever is in hand ends now, and its uploads are aborted."""


async def serve(clock: Clock) -> None:
    """Work for the run at the other end until it says so, or is gone."""
    _hear_no_signals()
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0)))
    send: Callable[[Any], None] = lambda message: writer.write(frames.packed(message))  # noqa: E731
    logs = KeptLogs()
    try:
        if (told := await frames.read(reader)) is None:
            raise _Dismissed
        hello, silent_s = told
        async with open_session(hello, clock, silent_s=silent_s) as session:
            send(("ready", os.getpid()))
            async with beside(session.beat(partial(_beat, send, logs))):
                await _work(session, reader, send)
    except* (_Dismissed, Lost):
        pass
    except* Fatal as group:
        send(("refused", next(leaves(group))))
    writer.close()
    await writer.wait_closed()


async def _work(session: Session, reader: asyncio.StreamReader, send: Callable[[Any], None]) -> None:
    async with asyncio.TaskGroup() as group:
        while True:
            match await frames.read(reader):
                case ("batch", batch):
                    group.create_task(_do(session, batch, send))
                case ("stop", drain_s):
                    session.stop(drain_s)
                case _:
                    raise _Dismissed


async def _do(session: Session, batch: WorkBatch, send: Callable[[Any], None]) -> None:
    try:
        send(("done", batch.number, await session.do(batch)))
    except Lost as error:
        send(("failed", batch.number, error))
        raise  # this process ends, and another takes its place


def _beat(send: Callable[[Any], None], logs: KeptLogs, beat: Beat) -> None:
    beat.logs = logs.take()
    send(("beat", beat))


def _hear_no_signals() -> None:
    """Ctrl-C and a service's stop reach every process of a group: the run alone decides what follows."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
