"""Relative paths start at the settings file's folder, never at the working directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from engine.model.errors import Blocked
from engine.reading.findings import Given
from engine.reading.keys import Way
from engine.settings import Settings, TrackingSettings

_DATABASE: Way = ("tracking", "database")


def home_of(path: Path | None) -> Path:
    """The folder of a settings file; without one, the working directory."""
    return Path(os.path.abspath(path)).parent if path else Path.cwd()  # noqa: PTH100 - unlike resolve, keeps links


def refuse_left_behind(given: Mapping[Way, Given], settings: Settings) -> None:
    """Raises Blocked where the tracking DB is not at its place, but in the working directory, where earlier versions
    looked for it. A run that overlooked it would start all over."""
    new = settings.tracking.database
    default = TrackingSettings.model_fields["database"].default
    named = Path(given[_DATABASE].value if _DATABASE in given else default).expanduser()
    old = Path.cwd() / named
    if not named.is_absolute() and old.exists() and not new.exists():
        raise Blocked(
            f"there is no tracking database at {new}, but there is one at {old}, where earlier versions looked",
            hint="a relative path starts at the settings file's folder now: move that file and all files of its name "
            "(-wal, .journal-key, …), or set tracking.database to its whole path",
        )
