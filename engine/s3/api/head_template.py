"""A pre-signed template: signs requests by the thousand that differ only in their key and a few header values.

It renders the same bytes as ``Signer.head``. What they have in common is rendered anew when date or keys change.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from engine.limiting.clock import Clock
from engine.s3.api.address import Address
from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.credentials import Keys
from engine.s3.api.sigv4 import AGENT, EMPTY, Signer, path_of

_NO_BODY = "content-length: 0\r\n"
STAMP_S = 0.5
"""How long a head's date is kept, in seconds; S3 takes one that is 15 minutes off."""


class HeadTemplate:
    """A request without query and body: ``fixed`` headers, and ``varying`` ones with a value for each head."""

    def __init__(self, method: str, address: Address, fixed: Fields, varying: tuple[str, ...]) -> None:
        self._method = method
        self._address = address
        self._varying = tuple(sorted(varying))
        self._fields = {**fixed, "host": address.host, "x-amz-content-sha256": EMPTY, **dict.fromkeys(varying, "%s")}
        self._head = self._request = self._text = ""
        self._sign: Callable[[bytes], str] = lambda _message: ""
        self._stamped_for: Keys | None = None
        self._stale_at = 0.0

    def renew(self, keys: Keys, clock: Clock) -> None:
        """Stamp anew where the keys have changed, or the stamp is older than STAMP_S. Raises as ``stamp``."""
        now = clock.monotonic()
        if keys is not self._stamped_for or now >= self._stale_at:
            self.stamp(keys, clock.now())
            self._stamped_for, self._stale_at = keys, now + STAMP_S

    def stamp(self, keys: Keys, at: datetime) -> None:
        """Set the date and the keys of the heads to come. Raises StoreError for a header that cannot travel."""
        signer = Signer()
        moment = signer.stamp(at)
        scope, self._sign = signer.scope_of(moment[:8], self._address.region, keys)
        fields = {**self._fields, "x-amz-date": moment}
        if keys.token:
            fields["x-amz-security-token"] = keys.token
        shown = {
            name: value if name in self._varying else value.replace("%", "%%") for name, value in sorted(fields.items())
        }
        names = ";".join(shown)
        canonical = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in shown.items()])
        lines = "".join([f"{name}: {value}\r\n" for name, value in shown.items()])
        if lines.count("\n") != len(shown) or not lines.isascii():
            raise StoreError("InvalidArgument", 400, "a header holds a line break or is not ASCII")
        self._request = f"{self._method}\n%s\n\n{canonical}\n{names}\n{EMPTY}"
        self._text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n"
        self._head = (
            f"{self._method} %s HTTP/1.1\r\n{lines}{AGENT}{'' if self._method == 'GET' else _NO_BODY}"
            f"authorization: AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={names},"
            " Signature=%s\r\n\r\n"
        )

    def head(self, key: str, *values: str) -> bytes:
        """One head. ``values`` are in the alphabetical order of their names, percent-encoded where that is needed.

        Raises StoreError for a key that cannot travel.
        """
        path = f"{self._address.path}/{path_of(key)}"
        request = self._request % (path, *values)
        text = self._text + sha256(request.encode()).hexdigest()
        return (self._head % (path, *values, self._sign(text.encode()))).encode("ascii")
