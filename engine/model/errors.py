"""Errors, named by what the run does next.

* EngineError
  * Transient   try again, later (the retry loop in ``limiting/retry.py`` is the only one that does)
  * Refused     this record has failed; the run goes on
  * Fatal       the run stops
    * Usage     exit 2: settings or flags are wrong
    * Blocked   exit 4: refused before starting; nothing was changed
    * Paused    exit 5: stopped early on purpose; resumable
    * Differs   exit 6: a plan, a journal or the world is not as expected
    * Locked    exit 11: another run holds the lock

Foreign errors are translated once, at the line where they enter (``salesforce/faults.py``, ``s3/api/faults.py``,
``web/faults.py``, ``tracking/db/faults.py``). Messages are for a person: what happened, and what to do next. They never
hold a secret, a token, or the query string of a URL (presigned signatures live there).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from engine.model.command import Advice
from engine.model.failures import FailureClass


class Operation(NamedTuple):
    """What was tried: ``COPY s3://theirs/a.pdf to s3://ours/a.pdf``."""

    name: str
    source: str = ""
    destination: str = ""

    def __str__(self) -> str:
        places = " to ".join(place for place in (self.source, self.destination) if place)
        return f"{self.name} {places}" if places else self.name


class EngineError(Exception):
    """Root of all errors that this project raises on purpose. Its text begins with the operation, if that is known."""

    operation: Operation | None = None

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.operation}: {text}" if self.operation else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args), self.__dict__


def _unpickled(cls: type[EngineError], args: tuple[Any, ...]) -> EngineError:
    """An error that comes from another process. ``__init__`` is passed over: it wants more than ``args``."""
    return cls.__new__(cls, *args)


class Transient(EngineError):
    """Worth another try. ``retry_after_s`` is how long the server asks to wait, in seconds, or None.

    ``patient``: not the fault of this record. Whoever raised it ends the run if it lasts.
    """

    def __init__(
        self,
        failure: FailureClass,
        message: str,
        *,
        operation: Operation | None = None,
        retry_after_s: float | None = None,
        patient: bool = False,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.operation = operation
        self.retry_after_s = retry_after_s
        self.patient = patient


class Refused(EngineError):
    """This record ends here, with a class; the run goes on."""

    def __init__(self, failure: FailureClass, message: str) -> None:
        super().__init__(message)
        self.failure = failure


class OwnCopy(Refused):
    """What lies under the record's own key is why: it says nothing of the source, nor of others that name it."""


class Fatal(EngineError):
    """The run stops. ``hint`` says what to type or change next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: Advice = "") -> None:
        super().__init__(message)
        self.hint = hint

    def add_hint(self, *more: Advice) -> None:
        """Each on a line of its own; empty ones are left out."""
        for advice in more:
            if advice:
                self.hint = (self.hint, "\n  ", advice) if self.hint else advice


class Usage(Fatal):
    """Settings or flags are wrong (exit 2)."""

    exit_code = 2


class Blocked(Fatal):
    """Login, permission, wrong org, missing bucket, foreign schema: refused before starting (exit 4)."""

    exit_code = 4


class Paused(Fatal):
    """Quota, maintenance, error budget, a time limit: stopped on purpose, resumable (exit 5)."""

    exit_code = 5


class Differs(Fatal):
    """A plan, a journal or the world is not as expected: nothing was written (exit 6)."""

    exit_code = 6


class Locked(Fatal):
    """Another run holds the lock (exit 11)."""

    exit_code = 11


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The error itself; of a group, every error in it, at any depth."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error
