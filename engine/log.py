"""The log: structlog, configured once. JSON lines into a rotated file; warnings and errors also to stderr, for people.

Everything passes one redactor, also the log lines of libraries. Of these only WARNING and above are taken: at DEBUG
botocore prints tokens and signatures. Exceptions are logged as type, message and frames, without local variables.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog

from engine.limiting.clock import Clock, SystemClock, iso
from engine.log_file import LogFile, open_new, prune
from engine.model.errors import Usage
from engine.model.text import printable
from engine.redaction import Redactor
from engine.redaction import secret_values as secret_values

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_LIBRARIES = ("aiobotocore", "aiohttp", "aiosqlite", "asyncio", "boto3", "botocore", "urllib3")
_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
"""Control characters that JSON does not escape, though a terminal may obey them. No other character of UTF-8 contains
these bytes."""
_ON_STDERR_NO_NEED = {"run_id", "run_type", "logger"}
CRASH_FILES = 50


class Log:
    """Where events go. ``configure`` makes it; there is one at a time."""

    def __init__(self, file: LogFile, redactor: Redactor, clock: Clock, *, colour: bool, stream: TextIO | None) -> None:
        self.file, self.redactor = file, redactor
        self._clock, self._colour, self._stream = clock, colour, stream
        self._handler = _FromLibraries(self)

    def emit(self, event: dict[str, Any]) -> None:
        """Write one event. A full disk or a closed terminal raises nothing.

        ``quiet=True`` keeps it off stderr: the command itself tells the person.
        """
        error = _error(event.pop("exc_info", None))
        level, quiet = event.pop("level", "info"), event.pop("quiet", False)
        line = {"at": iso(self._clock.now()), "level": level, **self.redactor.plain(event)}
        if error is not None:
            line["exception"] = self.redactor.exception(error)
        self.file.write(_CONTROLS.sub(_escaped, orjson.dumps(line)))
        if _LEVELS.get(level, 30) >= _LEVELS["warning"] and not quiet:
            self.show(level, self._human(line))

    debug = info = warning = warn = error = critical = exception = fatal = msg = emit

    def show(self, level: str, text: str) -> None:
        """One line for people, on stderr."""
        colour = _COLOURS.get(level, "") if self._colour else ""
        with contextlib.suppress(OSError, ValueError):  # stderr may be closed, or be a pipe that nobody reads
            stream = self._stream or sys.stderr
            stream.write(f"{colour}{level}:{colour and chr(27) + '[0m'} {printable(text)}\n")
            stream.flush()

    def _human(self, line: dict[str, Any]) -> str:
        left_out = {"at", "level", "event", "exception", *_ON_STDERR_NO_NEED}
        parts = [str(line.get("event", "")), *(f"{k}={v}" for k, v in line.items() if k not in left_out)]
        if "exception" in line:
            kind = line["exception"]["type"].rpartition(".")[2]
            parts.append(f"({kind}: {line['exception']['message']})")
        return " ".join(parts)

    def attach(self, level: str) -> None:
        """Become the place where structlog and the standard library's loggers write."""
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                _as_one_argument,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            logger_factory=lambda *_: self,
            cache_logger_on_first_use=False,
        )
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(logging.WARNING)
        for name in _LIBRARIES:
            logging.getLogger(name).setLevel(logging.WARNING)

    def close(self) -> None:
        """Detach from the loggers and close the file."""
        logging.getLogger().removeHandler(self._handler)
        structlog.contextvars.unbind_contextvars("run_id")
        if structlog.get_config()["processors"][-1] is _as_one_argument:
            structlog.reset_defaults()
        self.file.close()


class _FromLibraries(logging.Handler):
    """The standard library's log records as events."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit the message
            text = str(record.msg)
        event = {"event": text, "level": record.levelname.lower(), "logger": record.name, "exc_info": record.exc_info}
        self._log.emit({**structlog.contextvars.get_contextvars(), **event})


def _as_one_argument(_: Any, __: str, event: Any) -> tuple[tuple[Any], dict[str, Any]]:
    return (event,), {}


def _error(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def _escaped(control: re.Match[bytes]) -> bytes:
    return b"\\u00%02x" % control[0][-1]


_current: list[Log] = []


def configure(
    directory: Path,
    level: str,
    *,
    tty: bool,
    run_id: int | str | None,
    redact: Iterable[str],
    clock: Clock | None = None,
    stream: TextIO | None = None,
) -> Log:
    """Start logging; an earlier log is closed. Events below ``level`` cost next to nothing.

    ``tty`` is whether stderr is a terminal; colours also need NO_COLOR to be unset. ``run_id`` is bound to every event
    (None until there is a run). ``redact`` are secret values, ``secret_values(settings)``. Warnings and errors go to
    ``stream`` as well (default: stderr). Raises Usage when ``directory`` cannot be made or written; a full disk, now or
    later, only causes a warning.
    """
    while _current:
        _current.pop().close()
    _prepare(directory)
    clock = clock or SystemClock()
    colour = tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    file = LogFile(directory, clock, complain=lambda text: log.show("warning", text))
    log = Log(file, Redactor(redact), clock, colour=colour, stream=stream)
    log.attach(level)
    _current.append(log)
    if run_id is not None:
        structlog.contextvars.bind_contextvars(run_id=run_id)
    return log


def crash_file(directory: Path, exc: BaseException) -> Path:
    """Write the redacted traceback of an unexpected error, without local variables, to ``crash-….txt``; returns where.

    If the directory cannot be written, it goes to the system's folder for temporary files, and at last to stderr.
    """
    redactor = _current[-1].redactor if _current else Redactor()
    now = SystemClock().now()
    text = f"{iso(now)} Python {sys.version.split()[0]} on {sys.platform}\n\n{redactor.traceback(exc)}"
    content = text.encode("utf-8", "backslashreplace")
    for place in (directory, Path(tempfile.gettempdir())):
        path = place / f"crash-{now:%Y%m%d-%H%M%S}-{now.microsecond:06d}-{os.getpid()}.txt"
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            if place == directory:
                prune(place, "crash-*.txt", files=CRASH_FILES - 1, size_bytes=sys.maxsize)
            with os.fdopen(open_new(path), "wb") as file:
                file.write(content)
        except OSError:
            continue
        return path
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
    return Path("/dev/stderr")


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return
        raise Usage(f"logging.directory {directory} cannot be made: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Usage(f"logging.directory {directory} cannot be written: Permission denied")
