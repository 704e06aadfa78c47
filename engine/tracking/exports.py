"""Files that a person names to be written: replaced as a whole, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """A text file of mode 0600 that takes the place of the one at ``path`` when the block ends well. Raises OSError.

    Only a plain file is ever replaced: a symbolic link stays and its target is replaced, and a device or a pipe, which
    must stay what it is, gets the text directly.
    """
    if not _plain(path):
        with _writer(os.open(path, os.O_WRONLY | os.O_CLOEXEC)) as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    handle, name = mkstemp(prefix=".engine-", dir=target.parent)
    try:
        with _writer(handle) as file:
            yield file
            file.flush()
            os.fsync(handle)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise


def _plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _writer(handle: int) -> IO[str]:
    return os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="")
