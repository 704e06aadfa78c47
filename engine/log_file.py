"""A log file of bounded size, mode 0600, that never stops a run: a full disk only costs lines."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from engine.limiting.clock import Clock
from engine.model.byte_units import GIB, MIB

FILE_BYTES = 64 * MIB
TOTAL_BYTES = GIB
MAX_FILES = 500


def open_new(path: Path) -> int:
    """A descriptor that appends to a new file of mode 0600. FileExistsError when one is there, or a link."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)


class _Appending:
    """An open file, and how much is in it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = 0
        self._torn = False
        """The last write ended within a line."""

    def append(self, line: bytes) -> None:
        data = (b"\n" if self._torn else b"") + line + b"\n"
        written = os.write(self._descriptor, data)
        self.size += written
        self._torn = written < len(data)
        if self._torn:
            self._torn = os.write(self._descriptor, data[written:]) < len(data) - written

    def close(self) -> None:
        os.close(self._descriptor)


class LogFile:
    """Lines of bytes into ``<directory>/engine-YYYYMMDD-HHMMSS-<pid>.log``, opened at the first line.

    A file holds at most ``file_bytes``, all log files of the directory together ``total_bytes``: the oldest go first.
    ``complain`` hears once of a line that cannot be written. Every later line is tried again, so that logging goes on
    when there is room.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        complain: Callable[[str], None],
        file_bytes: int = FILE_BYTES,
        total_bytes: int = TOTAL_BYTES,
        open_new: Callable[[Path], int] = open_new,
    ) -> None:
        self._directory, self._clock, self._complain, self._open_new = directory, clock, complain, open_new
        self._file_bytes, self._total_bytes = file_bytes, total_bytes
        self._lock = threading.RLock()  # a finaliser may log while a line is being written
        self._file: _Appending | None = None
        self._complained = False
        self.path: Path | None = None

    def write(self, line: bytes) -> None:
        """Append one line, given without its end. Raises nothing."""
        with self._lock:
            try:
                if self._file is None or self._file.size + len(line) >= self._file_bytes:
                    self._file = self._next()
                self._file.append(line)
            except OSError as error:
                if not self._complained:
                    self._complained = True
                    place = self.path or self._directory
                    self._complain(f"cannot log to {place}: {error.strerror}; the run goes on without these lines")

    def close(self) -> None:
        """Close the file. The next line would open a new one."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _next(self) -> _Appending:
        stem = f"engine-{self._clock.now():%Y%m%d-%H%M%S}-{os.getpid()}"
        prune(self._directory, "engine-*.log", files=MAX_FILES - 1, size_bytes=self._total_bytes - self._file_bytes)
        number = 1
        while True:
            path = self._directory / (f"{stem}.log" if number == 1 else f"{stem}-{number}.log")
            try:
                descriptor = self._open_new(path)
                break
            except FileExistsError:
                number += 1
        self.close()
        self.path = path
        return _Appending(descriptor)


def prune(directory: Path, pattern: str, *, files: int, size_bytes: int) -> None:
    """Delete the oldest files of that pattern until at most so many, of so many bytes together, are left."""
    kept, total = 0, 0
    for _, size, path in sorted(_by_age(directory, pattern), reverse=True):
        kept, total = kept + 1, total + size
        if kept > files or total > size_bytes:
            path.unlink(missing_ok=True)


def _by_age(directory: Path, pattern: str) -> list[tuple[int, int, Path]]:
    found: list[tuple[int, int, Path]] = []
    for path in directory.glob(pattern):
        try:
            status = path.lstat()
        except FileNotFoundError:  # another process prunes too
            continue
        found.append((status.st_mtime_ns, status.st_size, path))
    return found
