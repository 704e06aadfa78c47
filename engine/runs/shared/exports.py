"""Files that a person names to be written: always new ones of mode 0600, so that no text gets into what somebody else
holds open, may write to, or has linked there. What the engine lives on is never replaced by them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import IO

from engine.limiting.private_files import sync
from engine.tracking.db.files import unwritable

_SQLITE = b"SQLite format 3\0"
_kept: set[Path] = set()
_databases: set[Path] = set()


def keep(files: Iterable[Path | None], database: Path) -> None:
    """From now on nothing replaces these files, nor what lies beside the tracking DB and has a name that begins with
    its."""
    _kept.update(Path(os.path.realpath(file)) for file in files if file is not None)
    _databases.add(Path(os.path.realpath(database)))


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """The same as ``replaced``, for text. Raises OSError."""
    with replaced(path) as handle, _writer(os.dup(handle)) as file:
        yield file


@contextmanager
def replaced(path: Path) -> Iterator[int]:
    """A file of mode 0600 that takes the place of the one at ``path`` when the block ends well, durably: its
    descriptor, which stays open here. Raises OSError.

    Only a plain file is ever replaced: a symbolic link stays and its target is replaced, and a device or a pipe, which
    must stay what it is, is written to directly.
    """
    if not _plain(path):
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield handle
        finally:
            os.close(handle)
        return
    target = Path(os.path.realpath(path))
    handle, name = mkstemp(prefix=".engine-", dir=target.parent)
    try:
        yield handle
        os.fsync(handle)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise
    finally:
        os.close(handle)
    with suppress(PermissionError):  # a folder that this user may write to and not read
        sync(target.parent)


@contextmanager
def saving(path: Path) -> Iterator[IO[str]]:
    """The same, for a file that a command writes by the way. Raises Blocked where it cannot be written."""
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise unwritable(path, error) from error


def fresh(path: Path) -> IO[str]:
    """A text file of mode 0600 that takes the place of the one at ``path`` at once, to be written while work goes on.

    A symbolic link is refused, its target left alone; a device or a pipe gets the text directly. Raises OSError.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link")
    if not _plain(path):
        return _writer(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
    handle, name = mkstemp(prefix=".engine-", dir=path.parent)
    try:
        Path(name).replace(path)
    except OSError:
        os.close(handle)
        Path(name).unlink()
        raise
    return _writer(handle)


def _plain(path: Path) -> bool:
    """Whether a file may be put there. Raises OSError where one lies that must stay."""
    try:
        plain = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True
    if plain and (why := _why_kept(Path(os.path.realpath(path)))):
        raise OSError(errno.EBUSY, f"{why}; name another file")
    return plain


def _why_kept(path: Path) -> str:
    if path in _kept or any(path.parent == each.parent and path.name.startswith(each.name) for each in _databases):
        return "the engine needs what lies there"
    with suppress(OSError), path.open("rb") as file:  # what cannot be read may still be replaced
        if file.read(len(_SQLITE)) == _SQLITE:
            return "a database lies there"
    return ""


def _writer(handle: int) -> IO[str]:
    return os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="")
