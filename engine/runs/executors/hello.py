"""What a worker is told before its first batch, and what it finds different at its place.

Settings never travel with their secrets: a worker reads its own file and environment, and both sides compare what
decides how a file is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.model.record import ObjectShape
from engine.model.value import value
from engine.s3.transport import Transport
from engine.settings import Settings

CLOCKS_MAY_DIFFER = timedelta(minutes=5)
"""S3 refuses signatures that are off by fifteen."""
_COMPARED: dict[str, tuple[str, ...] | None] = {
    "source": None,
    "destination": None,
    "migration": (
        "part_size_mb",
        "checksum",
        "file_hash",
        "tags",
        "max_attempts",
        "max_file_size_mb",
        "allowed_extensions",
    ),
}
"""Sections that must be the same on both sides; None: all of it."""
_OWN = {"profile"}
"""How a machine comes to its credentials is its own matter."""


@value
class Hello:
    """The run, as its workers must know it."""

    run: str
    """Its name, not used before. What a worker does, it does for one run."""
    version: str
    file: str | None
    """The settings file, where the worker is on the same machine; None: it has its own."""
    flags: Mapping[str, Any]
    """What the command line says in place of settings, by dotted key."""
    copying: Mapping[str, Any]
    """See ``copying_settings``."""
    shape: ObjectShape
    account_id: str | None
    transport: Transport
    workers: int
    """Among how many the limits are shared out."""
    now: datetime
    drain_s: float


def copying_settings(settings: Settings) -> dict[str, Any]:
    """What decides how files are copied, by dotted key; no secrets."""
    snapshot, found = settings.snapshot(), {}
    for section, names in _COMPARED.items():
        for name, held in snapshot[section].items():
            if name not in _OWN and (names is None or name in names):
                found[f"{section}.{name}"] = held
    return found


def differences(hello: Hello, version: str, settings: Settings, now: datetime) -> Iterator[str]:
    """Why this worker must not work for that run."""
    if hello.version != version:
        yield f"it has engine {version}, and the run has {hello.version}"
    mine = copying_settings(settings)
    for key, theirs in hello.copying.items():
        if mine.get(key) != theirs:
            yield f"{key} is {mine.get(key)!r} there and {theirs!r} here"
    if abs(now - hello.now) > CLOCKS_MAY_DIFFER:
        yield f"its clock says {now:%H:%M:%S} UTC, and this machine's {hello.now:%H:%M:%S}"
