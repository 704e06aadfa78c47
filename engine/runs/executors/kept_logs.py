"""A worker's log: it has no file of its own, so it travels to the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_WARNING = 30
_MOST = 1_000


class KeptLogs:
    """Keeps what the run's log should have, from warnings up, until it travels. One at a time in a process."""

    def __init__(self) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=_MOST)
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, self._keep],
            wrapper_class=structlog.make_filtering_bound_logger(_WARNING),
        )

    def take(self) -> list[dict[str, Any]]:
        """What has come since the last time."""
        events = list(self._events)
        self._events.clear()
        return events

    def _keep(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        error = event.pop("exc_info", None)
        told = {name: str(value) for name, value in event.items()}
        if isinstance(error, BaseException):
            told["error"] = f"{type(error).__name__}: {error}"
        self._events.append(told)
        raise structlog.DropEvent
