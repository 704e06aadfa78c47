"""AWS Signature Version 4 for S3, rendered straight into request heads. Pure but for the signing key that it keeps.

After "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk" of the S3 API
reference. S3 differs from the general algorithm: the path is encoded once and never normalised. All headers are signed
except those of the connection (Content-Length, Accept-Encoding, User-Agent, Expect).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import NamedTuple

from engine.model.percent import quoted
from engine.s3.api.address import Address
from engine.s3.api.answers import Bytes, Fields, StoreError
from engine.s3.api.credentials import Keys

Sign = Callable[[bytes], str]

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = sha256(b"").hexdigest()
AGENT = "user-agent: engine\r\naccept-encoding: identity\r\n"


def encoded(text: str) -> str:
    """Percent-encoded once, by RFC 3986, slashes too. Raises StoreError for a lone surrogate, which no key can hold."""
    return path_of(text).replace("/", "%2F")


def path_of(key: str) -> str:
    """The same for a path, whose slashes stay."""
    try:
        return quoted(key)
    except UnicodeEncodeError:
        raise StoreError("InvalidURI", 400, "the key is no valid Unicode") from None


def query_of(pairs: Iterable[tuple[str, str]]) -> str:
    """A query string in its canonical form: encoded, then sorted."""
    return "&".join(f"{name}={value}" for name, value in sorted((encoded(n), encoded(v)) for n, v in pairs))


class Request(NamedTuple):
    """One request to a bucket, before it is signed."""

    method: str
    key: str
    query: str
    """From ``query_of``."""
    headers: Fields
    """Lower-case names, ASCII values."""
    body: Bytes | None = None
    """None: a request without one."""
    payload: str = EMPTY
    """The body's SHA-256 in hex, or UNSIGNED."""


class Signer:
    """Renders signed request heads of S3. Keeps one signing key: it changes once a day, or with the credentials."""

    def __init__(self) -> None:
        self._made_for = ("", "", "")
        self._scope = ""
        self._sign: Sign = _keyed(b"")
        self._second = (0, 0, 0, 0)
        self._moment = ""

    def head(
        self, request: Request, address: Address, keys: Keys | None, at: datetime, *, awaits: bool = False
    ) -> bytes:
        """The request's head, framing included. Without ``keys`` it is not signed. ``awaits`` asks the server for its
        consent before the body is sent. Raises StoreError for a key or header that cannot travel.
        """
        method, key, query, headers, body, payload = request
        path = f"{address.path}/{path_of(key)}"
        fields = {**headers, "host": address.host}
        tail = AGENT if body is None else f"{AGENT}content-length: {len(body)}\r\n"
        if awaits:
            tail += "expect: 100-continue\r\n"
        moment = ""
        if keys is not None:
            moment = self.stamp(at)
            fields["x-amz-content-sha256"] = payload
            fields["x-amz-date"] = moment
            if keys.token:
                fields["x-amz-security-token"] = keys.token
        shape = _shape_of(tuple(fields))
        values = shape.pick(fields)
        lines = shape.lines % values
        if lines.count("\n") != shape.size or not lines.isascii():
            raise StoreError("InvalidArgument", 400, "a header holds a line break or is not ASCII")
        if keys is not None:
            canonical = shape.canonical % values
            if _folds(canonical):
                canonical = shape.canonical % tuple([" ".join(value.split()) for value in values])
            hashed = sha256(f"{method}\n{path}\n{query}\n{canonical}\n{shape.names}\n{payload}".encode()).hexdigest()
            scope, sign = self.scope_of(moment[:8], address.region, keys)
            signature = sign(f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}".encode())
            tail += (
                f"authorization: AWS4-HMAC-SHA256 Credential={keys.access}/{scope},"
                f" SignedHeaders={shape.names}, Signature={signature}\r\n"
            )
        target = f"{path}?{query}" if query else path
        return f"{method} {target} HTTP/1.1\r\n{lines}{tail}\r\n".encode("ascii")

    def scope_of(self, day: str, region: str, keys: Keys) -> tuple[str, Sign]:
        """The credential scope, and the function that signs within it."""
        made_for = (day, region, keys.secret)
        if made_for != self._made_for:
            key = f"AWS4{keys.secret}".encode()
            for step in (day, region, "s3", "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._made_for, self._scope, self._sign = made_for, f"{day}/{region}/s3/aws4_request", _keyed(key)
        return self._scope, self._sign

    def stamp(self, at: datetime) -> str:
        """``20261122T100000Z``; formatted once a second."""
        second = (at.second, at.minute, at.hour, at.toordinal())
        if second != self._second:
            self._second, self._moment = second, at.strftime("%Y%m%dT%H%M%SZ")
        return self._moment


class _Shape(NamedTuple):
    """What requests with the same header names share. ``pick`` gives the values in the order of both templates."""

    pick: Callable[[Fields], tuple[str, ...]]
    lines: str
    canonical: str
    names: str
    size: int


@lru_cache(maxsize=256)
def _shape_of(names: tuple[str, ...]) -> _Shape:
    ordered = sorted(names)
    shown = [name.replace("%", "%%") for name in ordered]
    return _Shape(
        itemgetter(*ordered) if len(ordered) > 1 else lambda fields: (fields[ordered[0]],),
        "".join([f"{name}: %s\r\n" for name in shown]),
        "".join([f"{name}:%s\n" for name in shown]),
        ";".join(ordered),
        len(ordered),
    )


def _folds(canonical: str) -> bool:
    """Whether there are blanks that the canonical form removes: double ones, behind a colon, before a line's end."""
    return (
        "  " in canonical
        or ": " in canonical
        or " \n" in canonical
        or "\t" in canonical
        or "\r" in canonical
        or "\v" in canonical
        or "\f" in canonical
    )


def _keyed(key: bytes) -> Sign:
    """HMAC-SHA256 in hex under one key (RFC 2104). The key's own blocks are hashed once, not per request."""
    key = key.ljust(64, b"\0")
    inner, outer = sha256(bytes(byte ^ 0x36 for byte in key)), sha256(bytes(byte ^ 0x5C for byte in key))

    def sign(message: bytes) -> str:
        within, around = inner.copy(), outer.copy()
        within.update(message)
        around.update(within.digest())
        return around.hexdigest()

    return sign
