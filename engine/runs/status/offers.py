"""What the shell offers for an argument that is being typed. It only looks, and offers nothing where it cannot look."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.model.errors import EngineError
from engine.model.failures import SKIP_CLASSES, FailureClass
from engine.model.text import printable
from engine.settings import Settings
from engine.tracking.db.connect import one_moment
from engine.tracking.read import starting

MOST = 50
Load = Callable[[], Settings]
"""Reads the settings, but only for offers that need them. May raise Usage."""
Offers = list[tuple[str, str]]
"""What can be typed, and what it is."""


def accounts(load: Load, begin: str) -> Offers:
    """Ids of accounts, each with its name."""
    return _asked(load, lambda db: starting.accounts(db, begin, MOST))


def switch_runs(load: Load, begin: str) -> Offers:
    """Numbers of switch runs, latest first, each with its time and status."""
    return _asked(load, lambda db: starting.switches(db, begin, MOST))


def failure_classes(_load: Load, begin: str) -> Offers:
    """What a record may have failed with."""
    return [(each.value, "") for each in FailureClass if each not in SKIP_CLASSES and each.value.startswith(begin)]


def plans(load: Load, begin: str) -> Offers:
    """Plan files beside the tracking DB, latest first; and any path that begins so."""
    try:
        database = load().tracking.database
        beside = sorted(map(str, database.parent.glob(f"{glob.escape(database.name)}.plan-*.ndjson")), reverse=True)
    except (EngineError, OSError):
        beside = []
    here = f"{Path.cwd()}/"
    named = [path for path in (each.removeprefix(here) for each in beside) if path.startswith(begin)]
    return [(path, "") for path in dict.fromkeys([*named, *_files(begin)])][:MOST]


def _files(begin: str) -> list[str]:
    folder, _, name = begin.rpartition("/")
    if not begin:
        return []
    found = Path(folder or ".").glob(f"{glob.escape(name)}*")
    return sorted(f"{folder}/{path.name}" if folder else path.name for path in found)


def _asked(load: Load, ask: Callable[[Any], Offers]) -> Offers:
    try:
        with one_moment(load().tracking.database) as db:
            return [(value, printable(text)) for value, text in ask(db)]
    except EngineError:
        return []
