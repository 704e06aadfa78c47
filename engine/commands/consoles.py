"""Consoles for what is printed with rich, which would end a command with exit code 1 where nobody reads any more."""

from __future__ import annotations

import errno
import os
import sys

from rich.console import Console


class Answers(Console):
    """stdout. A reader that goes away ends the command."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Asides(Console):
    """stderr. Nobody needs to listen: a run goes on."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
