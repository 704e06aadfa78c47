"""SimWeb: our bucket as a stranger meets it, who opens a link."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tests.simulation.bucket import OURS, SimStore


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, as far as it is looked at. It is its own body."""

    status: int
    body: bytes

    @property
    def content(self) -> Page:
        return self

    async def read(self, size: int) -> bytes:
        return self.body[:size]


class SimWeb:
    """Fits ``WebClient``."""

    def __init__(self, store: SimStore, step: Callable[[str], None]) -> None:
        self._store = store
        self._step = step

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, *, hops: int = 0
    ) -> AsyncIterator[Page]:
        key = unquote(urlsplit(url).path).lstrip("/")
        self._step(f"web {method} {key}")
        held = self._store.objects[OURS].get(key)
        if held is None:
            yield Page(404, b"")
        elif held.archived:
            yield Page(403, b"<Error><Code>InvalidObjectState</Code></Error>")
        else:
            yield Page(200, held.body)
