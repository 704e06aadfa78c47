"""Names to addresses, kept for a minute. Each answer starts at the next address, to spread the load."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from engine.limiting.clock import Clock

Sockaddr = tuple[str, int] | tuple[str, int, int, int]
"""IPv4 ``(address, port)`` or IPv6 ``(address, port, flow, scope)``, as ``socket.getaddrinfo`` gives them."""
Resolver = Callable[[str, int], Awaitable[list[Sockaddr]]]
"""Host and port to the addresses to connect to, in order. It may raise to refuse; its error is passed on unchanged."""
TTL_S = 60.0
_MANY = 1024


class Names:
    """The resolver used when no other is given. Raises OSError when a name has no address."""

    __slots__ = ("_clock", "_known", "_locks")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, list[Sockaddr]]] = {}
        self._locks: dict[tuple[str, int], asyncio.Lock] = {}

    async def __call__(self, host: str, port: int) -> list[Sockaddr]:
        """Addresses of ``host``, each of them first in turn."""
        name = (host, port)
        async with self._locks.setdefault(name, asyncio.Lock()):  # many dials at once ask the system once
            expires, addresses = self._known.get(name, (0.0, []))
            if not addresses or self._clock.monotonic() >= expires:
                addresses = await self._ask(host, port)
                expires = self._clock.monotonic() + TTL_S
            if len(self._known) >= _MANY:
                self._known.clear()
            self._known[name] = (expires, addresses[1:] + addresses[:1])
        if len(self._locks) >= _MANY:
            self._locks.clear()
        return addresses

    async def _ask(self, host: str, port: int) -> list[Sockaddr]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(cast("Sockaddr", entry[4]) for entry in found))
