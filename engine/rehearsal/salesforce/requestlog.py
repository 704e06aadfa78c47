"""Every call the stand-in has seen, for tests that must know what was asked and what was written."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_KEPT = 500_000


@dataclass(slots=True)
class Entry:
    """One call.

    ``status`` 0 means the connection was cut without an answer; ``seconds`` is how long it took; ``ids_written`` are
    the rows it changed, joined by spaces; ``arrived`` is when its head was read, in microseconds.
    """

    number: int
    time: str
    arrived: str
    name: str
    method: str
    path: str
    query: str
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float
    faults: str
    ids_written: str

    def describe(self) -> dict[str, Any]:
        """The call as JSON."""
        return {
            "number": self.number,
            "time": self.time,
            "arrived": self.arrived,
            "name": self.name,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "seconds": self.seconds,
            "faults": self.faults.split(),
            "ids_written": self.ids_written.split(),
        }


class RequestLog:
    """The last half million calls."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def add(self, *, ids_written: Iterable[str], **facts: Any) -> None:
        """Note a call; ``facts`` are the other fields of Entry except ``number``."""
        self._number += 1
        self._entries.append(Entry(number=self._number, ids_written=" ".join(ids_written), **facts))

    def find(self, wanted: Mapping[str, str]) -> list[Entry]:
        """Calls that fit all of: ``method``, ``name``, ``status`` (exact), ``path`` (regex), ``since`` (number)."""
        pattern = re.compile(wanted.get("path", ""))
        since = int(wanted.get("since", "0"))
        return [
            entry
            for entry in self._entries
            if entry.number > since
            and wanted.get("method", entry.method).upper() == entry.method
            and wanted.get("name", entry.name) == entry.name
            and wanted.get("status", str(entry.status)) == str(entry.status)
            and pattern.search(entry.path)
        ]

    def clear(self) -> None:
        """Forget all calls."""
        self._entries.clear()
