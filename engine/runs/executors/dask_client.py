"""The connection to a Dask scheduler. Dask is an extra: nothing but this file imports it, and only where it is used."""

from __future__ import annotations

import concurrent.futures
import logging
import stat
import warnings
from pathlib import Path
from typing import Any

from engine.model.errors import Blocked
from engine.pipeline.work_batches import Lost
from engine.settings.executor import ExecutorSettings

CONNECT_S = 10.0
GONE = (OSError, concurrent.futures.CancelledError)
"""What Dask raises where the scheduler, or a worker that was asked, is gone."""


async def connected(settings: ExecutorSettings, *, timeout_s: float = CONNECT_S) -> Any:
    """A client of the scheduler that the settings name. Raises Blocked."""
    dask = _distributed()
    for name in ("distributed", "distributed.client"):  # the run says what it means
        logging.getLogger(name).setLevel(logging.CRITICAL)
    scheme, _, rest = (settings.address or "").partition("://")
    address = f"tls://{rest}" if scheme == "tls" else f"tcp://{rest}"
    security = _security(settings) if scheme == "tls" else None
    try:
        with warnings.catch_warnings(action="ignore"):
            return await dask.Client(
                address,
                asynchronous=True,
                security=security,
                timeout=timeout_s,
                set_as_default=False,
                direct_to_workers=False,
            )
    except (OSError, ValueError) as error:
        why = f"no Dask scheduler answers at {settings.address}: {error}"
        raise Blocked(why, hint="start one with `dask scheduler`, or correct executor.address") from None


async def result_of(future: Any) -> bytes:
    """What a task has returned. Raises Lost."""
    from distributed.scheduler import KilledWorker

    try:
        return await future.result()  # type: ignore[no-any-return]
    except (KilledWorker, *GONE) as error:
        raise Lost(f"{type(error).__name__}: {error}") from None


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        why = f"copies on a Dask cluster need a package that is not installed: {error.name}"
        raise Blocked(why, hint="pip install 'engine[dask]'") from None
    return distributed


def dashboard(client: Any) -> str:
    """Where the scheduler's pages are; empty: it has none."""
    try:
        return str(client.dashboard_link or "")
    except KeyError:
        return ""


def _security(settings: ExecutorSettings) -> Any:
    """Our side of mutual TLS. Raises Blocked."""
    key = settings.tls_key_file
    assert key is not None, "the settings see to it"
    if stat.S_IMODE(_stat(key)) & 0o077:
        raise Blocked(f"executor.tls_key_file {key} can be read by others", hint=f"chmod 600 {key}")
    security = _distributed().Security(
        tls_ca_file=str(settings.tls_ca_file),
        tls_client_cert=str(settings.tls_cert_file),
        tls_client_key=str(key),
        require_encryption=True,
    )
    try:
        security.get_connection_args("client")
    except OSError as error:  # of TLS too
        raise Blocked(f"the TLS files of executor cannot be used: {error}") from None
    return security


def _stat(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        raise Blocked(f"executor.tls_key_file {path} cannot be read: {error.strerror}") from None
