"""Our own HTTP/1.1 client, for the hot path. It knows HTTP only: nothing of S3, nothing of signatures."""

from __future__ import annotations

from engine.s3.wire.errors import (
    BadResponse,
    BodyTooLarge,
    Closed,
    ConnectFailed,
    NoFileLeft,
    PeerClosed,
    ProxyLogin,
    Stale,
    TimedOut,
    TlsFailed,
    WireError,
)
from engine.s3.wire.origin import Origin, Resolver, Sockaddr
from engine.s3.wire.reply import Headers, Reply, StreamedReply
from engine.s3.wire.wire import Wire, WireStats

__all__ = [
    "BadResponse",
    "BodyTooLarge",
    "Closed",
    "ConnectFailed",
    "Headers",
    "NoFileLeft",
    "Origin",
    "PeerClosed",
    "ProxyLogin",
    "Reply",
    "Resolver",
    "Sockaddr",
    "Stale",
    "StreamedReply",
    "TimedOut",
    "TlsFailed",
    "Wire",
    "WireError",
    "WireStats",
]
