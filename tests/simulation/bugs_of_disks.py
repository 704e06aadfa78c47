"""Planted bugs of what must be durable, and of when: each makes of the right thing the wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Careless:
    """A disk of which some verbs do nothing."""

    def __init__(self, files: Any, *forgotten: str) -> None:
        self._files = files
        self._forgotten = forgotten

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name in self._forgotten else getattr(self._files, name)

    def create(self, path: Path, mode: int = 0o600) -> Any:
        file = self._files.create(path, mode)
        return Careless(file, "sync") if "sync" in self._forgotten else file


def unsynced_file(right: Any) -> Any:
    return lambda path, content, *, replace, files: right(path, content, replace=replace, files=Careless(files, "sync"))


def unsynced_lines(right: Any) -> Any:
    return lambda database, key, header, files: right(database, key, header, Careless(files, "sync"))


def unsynced_commits(right: Any) -> Any:
    return tuple(pragma.replace("= FULL", "= OFF") for pragma in right)


def at_once(_right: Any) -> Any:
    return lambda _at, _settle_after_s, now: now


def no_time(right: Any) -> Any:
    return lambda *a: right(*a)._replace(until=0.0)
