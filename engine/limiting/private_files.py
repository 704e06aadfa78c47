"""Files that are private to us, and durable once written; and the port through which their steps go to the disk."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class File:
    """An open file. Every verb raises OSError."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def write(self, block: bytes | bytearray, at: int) -> None:
        """All of it."""
        left = memoryview(block)
        while left:
            done = os.pwrite(self.handle, left, at)
            left, at = left[done:], at + done

    def truncate(self, size: int) -> None:
        os.ftruncate(self.handle, size)

    def sync(self) -> None:
        """What was written is durable when this returns; a new name is only once its folder is synced too."""
        os.fsync(self.handle)

    def close(self) -> None:
        os.close(self.handle)


class Files:
    """The disk. A simulation puts another in its place. Every verb raises OSError."""

    def create(self, path: Path, mode: int = 0o600) -> File:
        """A new file; one that is there is an error."""
        return File(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode))

    def lock_file(self, path: Path) -> File:
        """The file that is there, or a new one; ``lock`` takes the lock."""
        return File(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def lock(self, file: File) -> None:
        """At once, or BlockingIOError. The kernel frees it when its holder dies."""
        fcntl.flock(file.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def rename(self, path: Path, to: Path) -> None:
        """In place of what is there."""
        path.replace(to)

    def link(self, path: Path, to: Path) -> None:
        """A second name; one that is taken is an error."""
        os.link(path, to, follow_symlinks=False)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """The names in it are durable when this returns."""
        sync(folder)


DISK = Files()


def write_private(path: Path, content: bytes, *, replace: bool, files: Files = DISK) -> None:
    """A new file of mode 0600, durable under its name when this returns. Raises OSError.

    ``replace``: it takes the place of the one that is there, and its owner; otherwise one that is there is an error.
    """
    partial = Path(f"{path}.partial")
    files.remove(partial)
    file = files.create(partial)
    try:
        with suppress(OSError):  # root may write it for a command of its owner
            owner = path.stat()
            os.fchown(file.handle, owner.st_uid, owner.st_gid)
        file.write(content, 0)
        file.sync()
    except BaseException:
        files.remove(partial)
        raise
    finally:
        file.close()
    if replace:
        files.rename(partial, path)
    else:
        files.link(partial, path)
        files.remove(partial)
    files.sync_folder(path.parent)


def sync(path: Path) -> None:
    """Make a file durable, or the new names in a directory. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
