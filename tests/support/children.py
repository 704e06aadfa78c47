"""The child processes of a command under test, as the system sees them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

WORKER = "engine.commands.worker"


def workers_of(parent: int) -> list[int]:
    """Process ids of the workers that this process has now."""
    found = []
    with suppress(OSError):
        for each in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split():
            if WORKER in command_line(int(each)):
                found.append(int(each))
    return found


def command_line(process: int) -> str:
    """Of a process; of one that is gone, nothing."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def alive(process: int) -> bool:
    """Whether it runs; a zombie does not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    return False


def kill(process: int, number: signal.Signals = signal.SIGKILL) -> None:
    """One that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(process, number)
