"""Swift's ``cache`` filter without memcached: a dictionary in the proxy's process, the only one there is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class DictionaryCache:
    """The part of Swift's memcache client that the proxy uses. Values go through JSON, as they would on the wire."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, str]] = {}

    def get(self, key: str, default: Any = None, **_: Any) -> Any:
        expires, text = self._held.get(key, (0.0, ""))
        return json.loads(text) if expires > time.time() else default

    def set(self, key: str, value: Any, time: float = 0, **_: Any) -> None:
        self._held[key] = _expiry(time), json.dumps(value)

    def delete(self, key: str, **_: Any) -> None:
        self._held.pop(key, None)

    def incr(self, key: str, delta: int = 1, time: float = 0, **_: Any) -> int:
        value = max(0, int(self.get(key, 0)) + delta)
        self.set(key, value, time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0, **_: Any) -> int:
        return self.incr(key, -delta, time)

    def set_multi(self, mapping: Mapping[str, Any], server_key: str = "", time: float = 0, **_: Any) -> None:
        for key, value in mapping.items():
            self.set(key, value, time)

    def get_multi(self, keys: Iterable[str], server_key: str = "", **_: Any) -> list[Any]:
        return [self.get(key) for key in keys]


def _expiry(seconds: float) -> float:
    return time.time() + seconds if seconds else float("inf")


def filter_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[[App], App]:
    """What paste.deploy calls."""
    cache = DictionaryCache()

    def wrap(app: App) -> App:
        def cached(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ["swift.cache"] = cache
            return app(environ, start_response)

        return cached

    return wrap
