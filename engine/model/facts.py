"""What a store says of an object, and what a copy has made. Values only."""

from __future__ import annotations

import re
from enum import StrEnum

from engine.model.value import value


class Method(StrEnum):
    """How bytes travel."""

    SERVER_COPY = "server_copy"
    STREAM = "stream"
    HTTP = "http"
    DUPLICATE = "twin"
    """A copy inside the destination: another record has a proved copy of the same source."""
    ADOPTED = "adopted"
    """No copy was needed: an equal object was there already."""


class Proof(StrEnum):
    """How a copy was verified, strongest first."""

    CHECKSUM = "checksum"
    """A full-object checksum that the source's side states equals the destination's, or ours, which it confirmed."""
    ETAG = "etag"
    """The source's ETag, an MD5 or made of parts, equals the destination's, or what the bytes came to."""
    RECEIVED = "received"
    """The source's side states no sum; its body came whole, and the destination confirmed those bytes."""
    SIZE = "size"
    """Only sizes agree."""


@value
class ContentHeaders:
    """What is copied with the bytes. Empty string: not set."""

    content_type: str = ""
    content_disposition: str = ""
    content_encoding: str = ""
    content_language: str = ""
    cache_control: str = ""
    expires: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    """User metadata: names without the ``x-amz-meta-`` prefix, lower case."""
    tags: tuple[tuple[str, str], ...] = ()
    """Object tags, where they are copied; they take a request of their own."""
    tag_count: int = 0
    """How many tags the object has, where the store says so."""


@value
class ObjectFacts:
    """One object as a store describes it (HEAD, GET headers, a listing row)."""

    size: int | None
    """Bytes; None when the server did not say."""
    etag: str = ""
    """Without quotes. Empty: none, or a weak one."""
    version_id: str | None = None
    checksums: tuple[tuple[str, str], ...] = ()
    """Full-object checksums as (algorithm, lower-case hex): ``("sha256", "ab…")``, ``("crc64nvme", "…")``."""
    last_modified: str = ""
    storage_class: str = "STANDARD"
    archived: bool = False
    """True when the bytes cannot be read without a restore."""
    restore: str = ""
    """``ongoing``, or until when (ISO) a restored copy of an archived object can be read; empty: neither."""
    etag_is_md5: bool = True
    """False for multipart ETags (``…-N``), SSE-KMS and SSE-C, which are no MD5 of the bytes."""
    etag_parts: int = 0
    """Of how many parts' MD5s the ETag is made (``…-N``); 0: of none, or of sums that cannot be computed (SSE-KMS)."""
    headers: ContentHeaders = ContentHeaders()

    def checksum(self, algorithm: str) -> str | None:
        """The full-object checksum of that algorithm, hex, or None."""
        return dict(self.checksums).get(algorithm)


_RANGE = re.compile(r"bytes\s+(?:\d+-\d+|\*)/(\d{1,19})", re.IGNORECASE)

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before they can be read. A restored one still names its class."""

OPENABLE = frozenset(
    {"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "EXPRESS_ONEZONE", "OUTPOSTS", "SNOW"}
)
"""Storage classes whose objects can be read at any time. Of all others only a HEAD tells: Intelligent-Tiering has
archive tiers, and stores have classes of their own."""


def listed_facts(size: int, etag: str, storage_class: str, last_modified: str) -> ObjectFacts:
    """What a row of a listing says. It says nothing of versions, checksums, headers, restores, nor of SSE-KMS, where an
    ETag only looks like an MD5."""
    return ObjectFacts(
        size,
        etag,
        last_modified=last_modified,
        storage_class=storage_class,
        archived=storage_class in ARCHIVES,
        etag_is_md5=len(etag) == 32,
        etag_parts=parts_in(etag) if "-" in etag else 0,
    )


def whole_size(content_range: str) -> int | None:
    """The full size in bytes in a Content-Range; None where it is unknown (``*``), or where this is no range."""
    told = _RANGE.fullmatch(content_range.strip())
    return int(told[1]) if told else None


def parts_in(etag: str) -> int:
    """How many parts an ETag is made of (``…-N``); 0: it is not made of parts."""
    digest, dash, count = etag.partition("-")
    return int(count) if dash and len(digest) == 32 and count.isascii() and count.isdecimal() else 0


@value
class Stored:
    """What the destination holds after a write, and what we computed on the way."""

    facts: ObjectFacts
    read_bytes: int = 0
    """Bytes that passed this process."""
    computed: tuple[tuple[str, str], ...] = ()
    """Over the source bytes as we read them: ``("sha256", hex)``, ``("md5", hex)``, and multipart forms:
    ``("etag", …)`` over the parts as stored, ``("source-etag", …)`` over the source's own parts."""


class Occupied(Exception):
    """The destination key holds an object already; ``facts`` describes it. Nothing was written.

    ``computed``: sums of the source bytes, where all of them had been read before the key was found taken.
    """

    def __init__(self, facts: ObjectFacts, computed: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__("the destination key is taken")
        self.facts = facts
        self.computed = computed


class Uncopyable(Exception):
    """The store does not copy this object itself, but it may be read and written. Nothing was written."""
