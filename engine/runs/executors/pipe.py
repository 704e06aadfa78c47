"""The child's side: hello, batches and stop come on its standard input, a socket; signs of life and results go back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

import structlog

from engine.limiting.clock import Clock
from engine.limiting.side_by_side import beside
from engine.model.errors import Fatal
from engine.pipeline.work_batches import Beat, Lost, WorkBatch
from engine.runs.executors import frames
from engine.runs.executors.session import Session, open_session

_WARNING = 30


class _Dismissed(Exception):
    """The run wants nothing more, or is gone: whatever is in hand ends now, and its uploads are aborted."""


async def serve(clock: Clock) -> None:
    """Work for the run at the other end until it says so, or is gone."""
    _hear_no_signals()
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0)))
    send: Callable[[Any], None] = lambda message: writer.write(frames.packed(message))  # noqa: E731
    hello, silent_s = await frames.read(reader)
    logs = _Logs()
    try:
        async with open_session(hello, clock, silent_s=silent_s) as session:
            send(("ready", os.getpid()))
            async with beside(session.beat(partial(_beat, send, logs))):
                await _work(session, reader, send)
    except* _Dismissed:
        pass
    except* Fatal as group:
        send(("refused", group.exceptions[0]))
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
        result = await session.do(batch)
    except (Fatal, Lost) as error:
        send(("failed", batch.number, error))
    else:
        send(("done", batch.number, result))


def _beat(send: Callable[[Any], None], logs: _Logs, beat: Beat) -> None:
    beat.logs, logs.events = logs.events, []
    send(("beat", beat))


def _hear_no_signals() -> None:
    """Ctrl-C and a service's stop reach every process of a group: the run alone decides what follows."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)


class _Logs:
    """Keeps what the run's log should have, from warnings up."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, self._keep],
            wrapper_class=structlog.make_filtering_bound_logger(_WARNING),
        )

    def _keep(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        error = event.pop("exc_info", None)
        told = {name: str(value) for name, value in event.items()}
        if isinstance(error, BaseException):
            told["error"] = f"{type(error).__name__}: {error}"
        self.events.append(told)
        raise structlog.DropEvent
