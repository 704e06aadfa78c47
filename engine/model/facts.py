"""What a store says of an object, and what a copy left behind. Values only."""

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
    """A copy inside the destination, of another record's proved copy of the same source."""
    ADOPTED = "adopted"
    """Nothing travelled: an equal object was there already."""


class Proof(StrEnum):
    """What ``backed_up`` rests on, strongest first."""

    CHECKSUM = "checksum"
    """A full-object checksum that the source's side states equals the destination's, or ours that it confirmed."""
    ETAG = "etag"
    """The source's ETag, an MD5 or made of parts, equals the destination's, or what the bytes came to."""
    RECEIVED = "received"
    """The source's side states no sum; its body came to its proven end, and the destination confirmed those bytes."""
    SIZE = "size"
    """Only sizes agree."""


@value
class ContentHeaders:
    """What travels with the bytes. Empty string: not set."""

    content_type: str = ""
    content_disposition: str = ""
    content_encoding: str = ""
    content_language: str = ""
    cache_control: str = ""
    expires: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    """User metadata: names without the ``x-amz-meta-`` prefix, lower case."""
    tags: tuple[tuple[str, str], ...] = ()
    """Object tags, where they are carried; no answer's headers tell them."""


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
    etag_is_md5: bool = True
    """False for multipart ETags (``…-N``), SSE-KMS and SSE-C: the ETag then is no MD5 of the bytes."""
    etag_parts: int = 0
    """Of how many parts' MD5s the ETag is made (``…-N``); 0: of none, or of sums that nobody can compute (SSE-KMS)."""
    headers: ContentHeaders = ContentHeaders()
    tags: int = 0
    """How many tags it has, where the store says so."""

    def checksum(self, algorithm: str) -> str | None:
        """The full-object checksum of that algorithm, hex, or None."""
        return dict(self.checksums).get(algorithm)


_RANGE = re.compile(r"bytes\s+(?:\d+-\d+|\*)/(\d{1,19})", re.IGNORECASE)

#: Storage classes whose objects cannot be read before they are restored; a restored one still names its class.
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


def listed_facts(size: int, etag: str, storage_class: str, last_modified: str) -> ObjectFacts:
    """What a row of a listing says. It keeps quiet of versions, checksums, headers, restores, and of SSE-KMS, where an
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
    """The full size in bytes that a Content-Range tells; None for an unknown one (``*``), or for what is no range."""
    told = _RANGE.fullmatch(content_range.strip())
    return int(told[1]) if told else None


def parts_in(etag: str) -> int:
    """How many parts an ETag names (``…-N``); 0: it is not made of parts."""
    digest, dash, count = etag.partition("-")
    return int(count) if dash and len(digest) == 32 and count.isascii() and count.isdecimal() else 0


@value
class Stored:
    """What the destination holds after a write, and what we computed on the way."""

    facts: ObjectFacts
    read_bytes: int = 0
    """Bytes that went through this process."""
    computed: tuple[tuple[str, str], ...] = ()
    """Over the source bytes as we read them: ``("sha256", hex)``, ``("md5", hex)``, and multipart forms:
    ``("etag", …)`` over the parts as stored, ``("source-etag", …)`` over the source's own parts."""


class Occupied(Exception):
    """The destination key holds an object already; ``facts`` describes it. Nothing was written.

    ``computed``: over the source bytes as we read them, where that was found out when all of them had been.
    """

    def __init__(self, facts: ObjectFacts, computed: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__("the destination key is taken")
        self.facts = facts
        self.computed = computed


class Uncopyable(Exception):
    """The store copies this object not by itself, but it may be read and written. Nothing was written."""
