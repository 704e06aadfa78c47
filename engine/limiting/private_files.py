"""Files that are private to us, and durable once written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """A new file of mode 0600, durable under its name when this returns. Raises OSError.

    ``replace``: it takes the place of the one that is there, and its owner; otherwise one that is there is an error.
    """
    partial = Path(f"{path}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with suppress(OSError):  # root may write it for a command of its owner
            owner = path.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]  # a disk that is nearly full takes a part
        os.fsync(handle)
    except BaseException:
        partial.unlink()
        raise
    finally:
        os.close(handle)
    if replace:
        partial.replace(path)
    else:
        os.link(partial, path)
        partial.unlink()
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file durable, or the new names in a directory. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
