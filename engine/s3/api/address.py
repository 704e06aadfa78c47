"""Where a bucket answers: scheme, host, port and path prefix. Pure.

AWS is addressed by virtual host (``bucket.s3.region.amazonaws.com``). A custom endpoint is addressed by path, and so is
a bucket whose name has dots: no certificate covers ``my.bucket.s3…``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.model.location import Origin

_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_SUFFIXES = (
    ("cn-", "amazonaws.com.cn"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-iso-", "c2s.ic.gov"),
    ("eusc-", "amazonaws.eu"),
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` is the value of the Host header. ``path`` comes before ``/key`` and is percent-encoded."""

    origin: Origin
    host: str
    path: str
    region: str

    @property
    def secure(self) -> bool:
        return self.origin.scheme == "https"


def suffix_of(region: str) -> str:
    """The DNS suffix of a region's partition: AWS, China, the isolated ones. GovCloud shares the common one."""
    return next((suffix for start, suffix in _SUFFIXES if region.startswith(start)), "amazonaws.com")


def address_of(bucket: str, region: str, endpoint_url: str | None) -> Address:
    """Where the bucket answers, in that region or behind that endpoint."""
    if endpoint_url:
        parts = urlsplit(endpoint_url)
        host = parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port == _PORTS[parts.scheme] else f"{shown}:{port}"
        return Address(Origin(parts.scheme, host, port), authority, f"{parts.path.rstrip('/')}/{bucket}", region)
    base = f"s3.{region}.{suffix_of(region)}"
    if _LABEL.fullmatch(bucket):
        host = f"{bucket}.{base}"
        return Address(Origin("https", host, 443), host, "", region)
    return Address(Origin("https", base, 443), base, f"/{bucket}", region)
