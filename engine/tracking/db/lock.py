"""One run at a time: a flock beside the DB, which the kernel frees when its holder dies."""

from __future__ import annotations

import json
import os
import platform
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from engine.limiting.clock import Clock, iso
from engine.limiting.private_files import DISK, File, Files
from engine.model.errors import Blocked, Locked
from engine.model.text import json_in
from engine.tracking.db.files import unusable


class RunLock:
    """Held inside a ``with`` block. Raises Locked (exit 11) at once, naming the holder, or Blocked.

    The lock file stays behind on purpose: removing it would let two runs hold two different files of one name.
    """

    def __init__(self, database: Path, clock: Clock, command: str = "engine", files: Files = DISK) -> None:
        self.path = Path(f"{database}.lock")
        self._clock = clock
        self._command = command
        self._files = files
        self._file: File | None = None

    def __enter__(self) -> RunLock:
        try:
            file = self._files.lock_file(self.path)
            try:
                _refuse_other_files(self.path, os.fstat(file.handle))
                self._files.lock(file)
                self._sign(file)
            except BlockingIOError:
                raise _taken(self.path, os.pread(file.handle, 4096, 0)) from None
            finally:
                if self._file is not file:
                    file.close()
        except OSError as error:
            raise unusable(self.path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        file, self._file = self._file, None
        with suppress(OSError):  # whoever comes next goes by the lock, not by what is written in it
            file.truncate(0)
        file.close()

    def _sign(self, file: File) -> None:
        holder = {
            "pid": os.getpid(),
            "host": platform.node(),
            "started": iso(self._clock.now()),
            "command": self._command,
        }
        file.truncate(0)
        file.write(json.dumps(holder).encode(), 0)
        self._file = file


def _refuse_other_files(path: Path, facts: os.stat_result) -> None:
    """Signing it empties it first: what it is linked to, or what somebody else put there, would be lost."""
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != os.geteuid():
        raise Blocked(
            f"{path} is no lock file of ours: it has other names or another owner, or is no plain file",
            hint="look at what lies there and move it away; a run makes its own",
        )


def _taken(path: Path, text: bytes) -> Locked:
    try:
        holder = json_in(text)
        who = f"{holder['command']} (process {holder['pid']} on {holder['host']}, since {holder['started']})"
    except (ValueError, KeyError, TypeError):
        who = "a run that is just starting"
    return Locked(
        f"another run holds the lock {path}: {who}",
        hint="wait for it to end, or stop it with a signal; the lock frees itself when that process ends",
    )
