"""Sends requests over one transport, their bodies no faster than the peer takes them."""

from __future__ import annotations

import asyncio

from engine.model.byte_units import KIB

SLICE = 256 * KIB
_JOIN_BELOW = 16 * KIB
"""A body of fewer bytes is copied behind its head."""


class Writer:
    """``sent``: the whole request has been handed to the transport."""

    __slots__ = ("_full", "_held", "_transport", "_unsent", "sent")

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=2 * SLICE, low=SLICE // 2)
        self._transport = transport
        self._unsent: memoryview | None = None
        self._full = False
        self._held = False
        self.sent = False

    def send(self, head: bytes, body: bytes | memoryview | None, *, hold: bool = False) -> None:
        """Write the request. With ``hold`` the body waits for ``release``."""
        if body is None:
            self._transport.write(head)
            self.sent = True
        elif not hold and len(body) < _JOIN_BELOW:
            self._transport.write(b"".join((head, body)))
            self.sent = True
        elif hold:
            self.sent = False
            self._transport.write(head)
            self._unsent = memoryview(body).cast("B")
            self._held = True
        else:
            # head and body by one call of the system: each wakes the other side
            whole = memoryview(body).cast("B")
            self._unsent = whole[SLICE:] or None
            self.sent = self._unsent is None
            self._transport.writelines((head, whole[:SLICE]))
            self._push()

    def on_interim(self, status: int) -> None:
        """An answer before the answer came: 100 lets the body go."""
        if status == 100:
            self.release()

    def release(self) -> None:
        """Let the body go, if it waits."""
        if self._held:
            self._held = False
            self._push()

    def pause(self) -> None:
        """The transport has enough."""
        self._full = True

    def resume(self) -> None:
        """The transport takes more."""
        self._full = False
        self._push()

    def drop(self) -> None:
        """Send no more of the body."""
        self._unsent = None

    def _push(self) -> None:
        """Write slices of the body until the transport has enough."""
        while self._unsent is not None and not self._full and not self._held:
            piece, rest = self._unsent[:SLICE], self._unsent[SLICE:]
            self._unsent = rest if rest else None
            self.sent = self._unsent is None
            self._transport.write(piece)
