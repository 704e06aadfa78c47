"""Errors of the wire; the floor above translates them once into what the run does next.

* WireError
  * ConnectFailed   there is no connection; nothing was sent
    * NoFileLeft    ... because this process may open no more files
    * ProxyLogin    ... because the proxy wants a login, or another one
  * TlsFailed       the peer could not prove who it is, or speaks no TLS we accept; nothing was sent
  * TimedOut        a limit passed: waiting for a slot, connecting, silence, or the whole request
  * PeerClosed      the peer went away before the answer was whole
    * Stale         ... on a reused connection and before the first byte of an answer: worth one resend
  * BadResponse     not HTTP, or HTTP that two readers may understand differently
  * BodyTooLarge    the body is larger than the caller allows
  * Closed          the wire itself was closed

Messages name hosts and counts only, never a header, a path or a query.
"""

from __future__ import annotations


class WireError(Exception):
    """Root of everything the wire raises on purpose."""


class ConnectFailed(WireError):
    """DNS, TCP or the proxy's tunnel failed. Nothing of the request was sent."""


class NoFileLeft(ConnectFailed):
    """This process, or the machine, may open no more files. The peer is not at fault."""


class ProxyLogin(ConnectFailed):
    """The proxy answered 407. Nothing of the request was sent."""


class TlsFailed(WireError):
    """The TLS handshake failed: wrong name, unknown authority, expired, no common version. Nothing was sent."""


class TimedOut(WireError):
    """A time limit passed."""


class PeerClosed(WireError):
    """The peer closed or reset the connection before the answer was whole. It may have acted on the request."""


class Stale(PeerClosed):
    """A kept-alive connection was dead: no byte of an answer came. The usual end of an idle connection."""


class BadResponse(WireError):
    """The peer's bytes are no acceptable HTTP/1.1 answer."""


class BodyTooLarge(WireError):
    """The answer's body exceeds the limit for reading it whole."""


class Closed(WireError):
    """The wire was closed before or during the request."""
