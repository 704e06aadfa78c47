"""A file that a run reports to line by line, where a person has named one."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, Self

from engine.model.errors import Usage
from engine.runs.shared.exports import fresh


class ReportFile:
    """A context manager; mode 0600. Without a path nothing is written. Raises Usage, with ``hint``, where it cannot
    be opened."""

    def __init__(self, path: Path | None, hint: str) -> None:
        self._path = path
        self._hint = hint
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = fresh(self._path)
            except OSError as error:
                raise Usage(f"--report {self._path} cannot be written: {error.strerror}", hint=self._hint) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
