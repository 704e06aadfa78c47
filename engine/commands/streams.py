"""stdin, stdout and stderr as commands expect them, however this process was started."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY_READS = 141
"""The exit code that a shell shows for a tool that SIGPIPE has ended."""
_ESCAPES = "engine_escapes"
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


@contextmanager
def standard_streams() -> Iterator[None]:
    """A closed stream becomes the null device, a character that cannot be shown is escaped, and the command ends
    quietly when its reader has gone."""
    _open_closed()
    _escape()
    try:
        yield
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still in buffers
        sys.exit(NOBODY_READS)


def _open_closed() -> None:
    """Otherwise the next file or socket gets that number, and the output with it; uvloop would abort."""
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _escape() -> None:
    """Escape as JSON does: an answer stays one document in any encoding."""
    codecs.register_error(_ESCAPES, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "backslashreplace"}:
            stream.reconfigure(errors=_ESCAPES)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end
