"""Where something is served."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.model.base_url import is_loopback
from engine.model.errors import Usage


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the desk is, and what it asks for."""

    host: str
    port: int
    token: str | None = None

    @classmethod
    def of(cls, text: str, token: str | None) -> Listen:
        """Raises Usage for what is no address, and for one that others reach without a token."""
        found = replace(cls.anywhere(text), token=token)
        if token is None and not is_loopback(found.host):
            raise Usage(
                f"--listen {text}: others can reach that address, and no token is set",
                hint="Put a token of 16 or more letters into a file and name it with --token-file.",
            )
        return found

    @classmethod
    def anywhere(cls, text: str) -> Listen:
        """Raises Usage for what is no address."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise Usage(f"{text!r} is no address to listen at", hint="Give HOST:PORT, such as 127.0.0.1:8800.")
        return cls(host.strip("[]"), int(port))
