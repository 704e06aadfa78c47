"""Origin: where requests go. Location: where a file lies. ``model/urls.py`` parses URL fields."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.value import value


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, as an allow list and I15 compare them. Hosts are lower case, IPv6 without brackets."""

    scheme: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host or any(each in self.host for each in "[]/@?# \r\n"):
            raise ValueError("an origin's host must be a bare name or address")

    @property
    def authority(self) -> str:
        """``host:port``, with IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}.get(self.scheme)
        return f"{self.scheme}://{host}" if self.port == default else f"{self.scheme}://{host}:{self.port}"


@value
class Location:
    """A source object: in an S3 bucket (``bucket`` and ``key`` set), or only behind an http(s) URL.

    ``key`` is the object's true name, percent-decoded exactly once. ``url`` is for a plain GET: only bytes that are
    illegal in a URL are encoded, and nothing is encoded twice. It may hold a presigned query, so it is a secret and
    never printed; ``shown`` may be printed.
    """

    origin: Origin
    url: str
    bucket: str = ""
    key: str = ""
    version_id: str | None = None
    presigned: bool = False
    expires_at: float | None = None
    """When a presigned URL expires, in seconds since the epoch, where the query says so."""

    @property
    def in_s3(self) -> bool:
        return bool(self.bucket)

    @property
    def shown(self) -> str:
        """The URL without its query, fit for logs and reports."""
        return self.url.partition("?")[0]

    @property
    def identity(self) -> str:
        """Equal for two URLs exactly when they name the same source object."""
        if self.bucket:
            return f"s3://{self.bucket}/{self.key}" + (f"?versionId={self.version_id}" if self.version_id else "")
        return self.url
