"""Errors of plain http servers, and of the network before them, translated once. Pure."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime

import aiohttp

from engine.limiting.backoff import retry_after_s
from engine.limiting.open_files import none_left
from engine.model.errors import EngineError, Refused, Transient
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.web.policy import HostRefused

#: What a request may raise below HTTP; aiohttp's timeouts are TimeoutErrors.
NETWORK_ERRORS: tuple[type[Exception], ...] = (aiohttp.ClientError, TimeoutError, OSError)

_CODE = re.compile(rb"<Code>\s*([A-Za-z]{3,60})\s*</Code>")
_EXPIRED = re.compile(rb"expired|specified time frame", re.IGNORECASE)


def from_status(status: int, headers: Mapping[str, str], body: bytes, location: Location, now: datetime) -> EngineError:
    """The error that a status other than success means. ``body``: the first bytes of the answer's."""
    code = match[1].decode("ascii") if (match := _CODE.search(body)) else ""
    said = f"{location.origin} answered {status}" + (f" {code}" if code else "")
    if status in {400, 401, 403} and _has_expired(location, body, now):
        return Refused(FailureClass.EXPIRED_LINK, f"{said}: the link has expired")
    if code == "InvalidObjectState":
        return Refused(FailureClass.ARCHIVED, f"{said}: the object is archived and must be restored first")
    if status in {404, 410}:
        return Refused(FailureClass.SOURCE_MISSING, f"{said}: there is no such file")
    if status in {401, 403, 451}:
        return Refused(FailureClass.SOURCE_DENIED, f"{said}: we may not read this file")
    if status == 407:
        return Refused(FailureClass.SOURCE_DENIED, f"{said}: a proxy wants a login; check network.proxy")
    if status in {429, 503}:
        return Transient(FailureClass.THROTTLED, said, retry_after_s=retry_after_s(headers.get("Retry-After", ""), now))
    if status == 412:
        return Transient(FailureClass.SOURCE_CHANGED, f"{said}: the file has changed since it was looked at")
    if status == 408 or status >= 500:
        return Transient(FailureClass.NETWORK, said, retry_after_s=retry_after_s(headers.get("Retry-After", ""), now))
    if 300 <= status < 400:
        return Refused(FailureClass.REDIRECTED, f"{said} and does not say where to go")
    return Refused(FailureClass.REJECTED, said)


def from_network(error: Exception, *, host: str) -> EngineError:
    """A failure below HTTP. The message names the host and the kind of failure, never a URL."""
    for cause in _chain(error):
        if isinstance(cause, HostRefused):
            return Refused(FailureClass.HOST_NOT_ALLOWED, str(cause))
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Refused(
                FailureClass.NETWORK,
                f"the certificate of {host} is not trusted; network.ca_file may name its authority",
            )
    if none_left(error):
        return Transient(FailureClass.THROTTLED, f"no connection to {host} for now: too many open files")
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status == 407:
        return Refused(FailureClass.SOURCE_DENIED, f"the proxy wants a login for {host}; check network.proxy")
    if isinstance(error, aiohttp.InvalidURL):
        return Refused(FailureClass.BAD_URL, "the URL cannot be asked for")
    if isinstance(error, TimeoutError):
        return Transient(FailureClass.NETWORK, f"{host} did not answer in time")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Transient(FailureClass.NETWORK, "no connection to the proxy of network.proxy")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Transient(FailureClass.NETWORK, f"the name {host} could not be resolved")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Transient(FailureClass.NETWORK, f"the answer of {host} was cut short")
    return Transient(FailureClass.NETWORK, f"the connection to {host} failed ({type(error).__name__})")


def _has_expired(location: Location, body: bytes, now: datetime) -> bool:
    if location.presigned and location.expires_at is not None and location.expires_at <= now.timestamp():
        return True
    return _EXPIRED.search(body) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
        error = inner or error.__cause__
