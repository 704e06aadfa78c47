"""moto's S3 back end from the inside: filled and read without a request per object."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import moto.s3.models as moto_s3
from moto.core.base_backend import BackendDict

from engine.rehearsal.content import content_of

_ACCOUNT = "123456789012"  # moto's own default account
_USER = "x-amz-meta-"


class _StoredKey(moto_s3.FakeKey):
    """An object whose bytes are immutable, or made from a seed each time they are asked for.

    moto keeps them in a temporary file that several threads may seek in at once, and can so remember a false ETag.
    """

    _content: bytes | tuple[str, int] = b""

    @property
    def value(self) -> bytes:
        return self._content if isinstance(self._content, bytes) else content_of(*self._content)

    @value.setter
    def value(self, value: bytes | str) -> None:
        self._content = value.encode() if isinstance(value, str) else bytes(value)
        self.contentsize = len(self._content)

    def grow(self, seed: str, size: int) -> None:
        """Be ``content_of(seed, size)`` without holding it."""
        self._content = seed, size
        self.contentsize = size

    @property
    def etag(self) -> str:
        if self._etag is None:
            self._etag = hashlib.md5(self.value, usedforsecurity=False).hexdigest()
        return f'"{self._etag}"'


def install() -> None:
    """Make moto store what this module can load and dump. Once, before the first object."""
    vars(moto_s3)["FakeKey"] = _StoredKey


def _backend() -> Any:
    return moto_s3.s3_backends[_ACCOUNT]["aws"]


def create_bucket(name: str, region: str, versioned: bool = False) -> None:
    """Make a bucket; one that is there already stays as it is."""
    if name not in _backend().buckets:
        _backend().create_bucket(name, region)
        if versioned:
            _backend().put_bucket_versioning(name, "Enabled")


def load(entries: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Put objects; returns how many and how many bytes.

    An entry has ``bucket``, ``key``, and ``body_b64`` or ``size`` (content made from ``seed``, by default the key); it
    may have ``content_type``, ``headers`` (Cache-Control and the like), ``metadata``, ``storage_class``, ``etag`` (to
    pose as the result of a multipart upload) and ``tags``. Raises KeyError where one of the first is missing or there
    is no such bucket.
    """
    backend = _backend()
    count = total = 0
    for entry in entries:
        if entry["bucket"] not in backend.buckets:
            raise KeyError(f"no bucket {entry['bucket']}")
        body = base64.b64decode(entry["body_b64"]) if "body_b64" in entry else b""
        key = cast(
            "_StoredKey",
            backend.put_object(
                entry["bucket"],
                entry["key"],
                body,
                storage=entry.get("storage_class"),
                etag=entry.get("etag"),
                disable_notification=True,
            ),
        )
        if "body_b64" not in entry:
            key.grow(entry.get("seed", entry["key"]), entry["size"])
        headers = dict(entry.get("headers", {}))
        headers.update({_USER + name: value for name, value in entry.get("metadata", {}).items()})
        if "content_type" in entry:
            headers["Content-Type"] = entry["content_type"]
        key.set_metadata(headers)
        if entry.get("tags"):
            backend.put_object_tagging(key, entry["tags"])
        count += 1
        total += key.size
    return count, total


def dump(bucket: str) -> Iterator[dict[str, Any]]:
    """Every current object of a bucket, in key order. Raises KeyError where there is no such bucket."""
    for name, key in sorted(_backend().buckets[bucket].keys.items()):
        if not isinstance(key, _StoredKey):
            continue  # a delete marker
        held = {field.lower(): value for field, value in key.metadata.items()}
        yield {
            "key": name,
            "size": key.size,
            "etag": key.etag.strip('"'),
            "sha256": hashlib.sha256(key.value).hexdigest(),
            "content_type": held.pop("content-type", None),
            "metadata": {n.removeprefix(_USER): v for n, v in held.items() if n.startswith(_USER)},
            "headers": {n: v for n, v in held.items() if not n.startswith(_USER)},
            "storage_class": key.storage_class,
            "sse": key.encryption,
            "kms_key_id": key.kms_key_id,
            "version_id": key.version_id,
            "last_modified": key.last_modified.isoformat(),
        }


def etag_of(bucket: str, key: str) -> str | None:
    """The quoted ETag of the current object, or None where there is none."""
    held = _backend().buckets.get(bucket)
    found = held.keys.get(key) if held is not None else None
    return found.etag if isinstance(found, _StoredKey) else None


def open_uploads(bucket: str) -> list[dict[str, Any]]:
    """Multipart uploads that were begun and neither completed nor aborted."""
    uploads = _backend().buckets[bucket].multiparts
    return [{"upload_id": i, "key": u.key_name, "parts": len(u.parts)} for i, u in list(uploads.items())]


def reset() -> None:
    """Forget every bucket and object."""
    BackendDict.reset()
