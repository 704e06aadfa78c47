"""What the S3 tests share: settings for a server, locations, and streams made of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from engine.model.byte_units import MIB
from engine.model.facts import ContentHeaders, ObjectFacts, parts_in
from engine.model.location import Location, Origin
from engine.rehearsal.objects import ObjectServer
from engine.s3.transfer.parts import Sizes
from engine.settings import Settings

SMALL_PARTS = Sizes(part=5 * MIB, put_limit=5 * MIB, copy_limit=6 * MIB, copy_part=5 * MIB)
"""Files of a few MiB go by parts."""
NOWHERE = Origin("https", "vendor.invalid", 443)


def settings_for(
    server: ObjectServer,
    vendor: str = "vendor",
    ours: str = "ours",
    *,
    source_keys: tuple[str, str] | None = None,
    destination_keys: tuple[str, str] | None = None,
    **sections: dict[str, Any],
) -> Settings:
    """Settings with both sides on one server; further sections are merged in."""

    def side(keys: tuple[str, str] | None) -> dict[str, Any]:
        access, secret = keys or (server.access_key, server.secret_key)
        return {
            "endpoint_url": server.url,
            "region": server.region,
            "access_key_id": access,
            "secret_access_key": secret,
        }

    tree: dict[str, dict[str, Any]] = {
        "source": {**side(source_keys), "buckets": [vendor]},
        "destination": {**side(destination_keys), "bucket": ours},
        "migration": {"part_size_mb": 5, "concurrency": 8, "max_attempts": 2},
    }
    for name, values in sections.items():
        tree[name] = {**tree.get(name, {}), **values}
    for name in ("source", "destination"):
        tree[name] = {key: value for key, value in tree[name].items() if value is not None}
    return Settings.model_validate(tree)


def at(bucket: str, key: str, version_id: str | None = None) -> Location:
    """A source object."""
    return Location(NOWHERE, f"https://vendor.invalid/{bucket}", bucket=bucket, key=key, version_id=version_id)


class Bytes:
    """A stream of given chunks that promises ``size`` (by default the truth) and may break off with ``error``."""

    whole = None
    fill = None

    def __init__(
        self,
        chunks: bytes | Sequence[bytes],
        *,
        size: int | str | None = "true",
        headers: ContentHeaders | None = None,
        checksums: tuple[tuple[str, str], ...] = (),
        etag: str = "",
        parts: Sequence[int] = (),
        error: BaseException | None = None,
    ) -> None:
        self._chunks = [chunks] if isinstance(chunks, bytes) else list(chunks)
        self._error = error
        self._parts = parts
        true = sum(map(len, self._chunks))
        self.facts = ObjectFacts(
            size=true if isinstance(size, str) else size,
            etag=etag,
            etag_is_md5=bool(etag) and "-" not in etag,
            etag_parts=parts_in(etag),
            checksums=checksums,
            headers=headers or ContentHeaders(),
        )

    async def parts(self) -> Sequence[int]:
        return self._parts

    async def chunks(self) -> AsyncIterator[bytes | memoryview]:
        for chunk in self._chunks:
            if chunk:
                yield memoryview(chunk)
        if self._error is not None:
            raise self._error


AWKWARD = [
    "plain.pdf",
    "a/b c+é.txt",
    "100%/50%25.txt",
    "x?y#z&w=1;v",
    "deep//double/./dot/../up",
    "quote'\"<>&amp;.txt",
    "e\u0301 decomposed",
    "日本語/😀.bin",
    "~tilde-_.!*()@$,:=",
    "trailing space ",
]
