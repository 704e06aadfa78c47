"""Where a run's tracking DB lies, and whether it may be written."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.model.errors import Blocked
from engine.settings import Settings
from engine.tracking.db.files import unusable


@dataclass(frozen=True, slots=True)
class Place:
    """Of one run."""

    path: Path
    may_write: bool = True


@contextmanager
def place_of(settings: Settings, *, looks: bool) -> Iterator[tuple[Place, Settings]]:
    """The place, and the settings for the log. Raises Blocked.

    ``looks``: nothing is written to a tracking DB that is there, and where there is none, nothing is made: the run goes
    by an empty one in a temporary folder, and its log goes there too.
    """
    database = settings.tracking.database
    try:
        there = database.is_symlink() or (database.exists() and database.stat().st_size > 0)
        if looks and not database.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder")
    except OSError as error:
        raise unusable(database, error) from error
    if there or not looks:
        yield Place(database, may_write=not looks), settings
        return
    with _temporary() as folder:
        yield (
            Place(folder / database.name),
            settings.model_copy(update={"logging": settings.logging.model_copy(update={"directory": folder})}),
        )


@contextmanager
def _temporary() -> Iterator[Path]:
    try:
        room = tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True)
    except OSError as error:
        raise Blocked(
            f"no folder can be made in {tempfile.gettempdir()}: {error.strerror}",
            hint="Free some space there, or set TMPDIR to a folder with room.",
        ) from error
    with room as name:
        yield Path(name)
