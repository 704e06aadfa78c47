"""From the settings to an executor."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import __version__
from engine.limiting.clock import Clock
from engine.model.errors import Usage
from engine.model.record import ObjectShape
from engine.pipeline.work_batches import Executor
from engine.runs.executors.dask import open_dask
from engine.runs.executors.hello import Hello, copying_settings
from engine.runs.executors.processes import open_processes
from engine.s3.transport import Transport
from engine.settings import Settings

Open = AbstractAsyncContextManager[Executor | None]


@dataclass(frozen=True, slots=True)
class Given:
    """Where the settings of this command come from: workers on this machine read the same file."""

    file: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)


def flags_of(executor: str | None) -> dict[str, Any]:
    """``--executor`` as settings. Raises Usage."""
    if executor is None:
        return {}
    kind, colon, rest = executor.partition(":")
    if executor == "local":
        return {"executor.kind": "local"}
    if kind == "processes" and (not colon or (rest.isascii() and rest.isdecimal() and int(rest) > 0)):
        return {"executor.kind": "processes", "executor.workers": int(rest) if rest else None}
    if kind in {"dask", "tls"} and rest.startswith("//"):
        return {"executor.kind": "dask", "executor.address": executor}
    hint = "Write local, processes:N, dask://127.0.0.1:8786 or tls://host:8786."
    raise Usage(f"--executor {executor!r} is none that is known", hint=hint)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_executor(
    settings: Settings,
    given: Given,
    shape: ObjectShape,
    account_id: str | None,
    transport: Transport,
    clock: Clock,
    say: Callable[[str], None],
) -> Open:
    """The workers that the settings name; None: copies are made in this process. ``say``: to the person."""
    wanted = settings.executor
    if wanted.kind == "local":
        return _nobody()
    workers = wanted.workers or cores()
    hello = Hello(
        run=secrets.token_hex(8),
        version=__version__,
        file=str(given.file.absolute()) if given.file and wanted.kind == "processes" else None,
        flags={key: held for key, held in given.flags.items() if held is not None},
        copying=copying_settings(settings),
        shape=shape,
        account_id=account_id,
        transport=transport,
        workers=workers,
        now=clock.now(),
        drain_s=_before(settings.migration.drain_seconds),
    )
    if wanted.kind == "dask":
        return open_dask(wanted, hello, clock, say)
    return open_processes(workers, wanted.leases_in_hand, hello, clock)


def _before(drain_s: float) -> float:
    """Workers cut a little before the run would: what they have done must still come back."""
    return max(0.0, drain_s - min(2.0, drain_s / 4))


@asynccontextmanager
async def _nobody() -> AsyncIterator[None]:
    yield None
