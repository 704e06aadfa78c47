"""What a stand-in object store was asked: enough of every request for a test to assert on it, and no signature."""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

KEPT = 100_000
_SIGNATURE = re.compile(
    r"(X-Amz-(?:Signature|Security-Token|Credential)|Signature|AWSAccessKeyId)=[^&]*", re.IGNORECASE
)
_NAMES = re.compile(
    r"content-type|content-length|content-md5|range|if-.*|cache-control|expires|content-(?:encoding|disposition|language)"
    r"|x-amz-(?:copy-source.*|expected-bucket-owner|source-expected-bucket-owner|server-side-encryption.*|storage-class"
    r"|request-payer|checksum-.*|sdk-checksum-.*|content-sha256|meta-.*|metadata-directive|tagging.*|acl|mp-object-size"
    r"|website-redirect-location|object-lock-.*)"
)


class RequestLog:
    """The last 100,000 requests, and counts of all by bucket and method since the last clearing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, method: str, target: str, headers: Mapping[str, str], status: int, fault: str | None) -> None:
        """Note a request; ``status`` 0 means it got no answer."""
        path, _, query = target.partition("?")
        decoded = unquote(path)
        entry = {
            "method": method,
            "path": decoded,
            "query": _SIGNATURE.sub(r"\1=***", query),
            "headers": {name: value for name, value in headers.items() if _NAMES.fullmatch(name)},
            "signed": "authorization" in headers or "Signature=" in query,
            "status": status,
            "fault": fault,
        }
        with self._lock:
            self._entries.append(entry)
            self._counts[decoded.split("/")[1], method] += 1

    def report(self) -> dict[str, Any]:
        """``counts`` ({bucket: {method: n}}) and ``requests``, oldest first."""
        with self._lock:
            counts: dict[str, dict[str, int]] = {}
            for (bucket, method), number in self._counts.items():
                counts.setdefault(bucket, {})[method] = number
            return {"counts": counts, "requests": list(self._entries)}

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._entries.clear()
            self._counts.clear()
