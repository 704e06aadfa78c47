"""Consoles for rich. By itself, rich ends a command with exit code 1 when the reader of its output has gone."""

from __future__ import annotations

import errno
import os
import sys

from rich.console import Console


class Answers(Console):
    """stdout. The command ends when its reader has gone."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Asides(Console):
    """stderr. A run goes on without a reader."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
