"""Where a request goes: scheme, host and port, and the shape of a resolver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Sockaddr = tuple[str, int] | tuple[str, int, int, int]
"""IPv4 ``(address, port)`` or IPv6 ``(address, port, flow, scope)``, as ``socket.getaddrinfo`` gives them."""

Resolver = Callable[[str, int], Awaitable[list[Sockaddr]]]
"""Host and port to the addresses to connect to, in order. It may raise to refuse; its error is passed on unchanged."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme (``http`` or ``https``), host (a name, IPv4, or IPv6 without brackets) and port."""

    scheme: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if self.scheme not in {"http", "https"}:
            raise ValueError("scheme must be http or https")
        if not self.host or any(c in self.host for c in "[]/@?# \r\n"):
            raise ValueError("host must be a bare name or address")
        if not 0 < self.port < 65536:
            raise ValueError("port must be 1-65535")

    @property
    def authority(self) -> str:
        """``host:port``, with IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
