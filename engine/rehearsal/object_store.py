"""moto's S3 back end from the inside: filled and read without a request per object."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import moto.s3.models as moto_s3
from moto.core.base_backend import BackendDict

from engine.rehearsal.content import content_of
from engine.rehearsal.object_sums import Sum, etag_of_parts, value_of

_ACCOUNT = "123456789012"  # moto's own default account
_USER = "x-amz-meta-"


class _StoredKey(moto_s3.FakeKey):
    """An object whose bytes are immutable, or made from a seed each time they are asked for.

    moto keeps them in a temporary file that several threads may seek in at once, and can so remember a false ETag.
    """

    _content: bytes | tuple[str, int] = b""
    summed_by = ""
    """The algorithm of its checksum; empty: it has none."""
    part_sizes: tuple[int, ...] = ()
    """Of the parts it was uploaded in."""
    _checksum: Sum | None = None

    @property
    def checksum(self) -> Sum | None:
        """The object's, computed when it is first asked for."""
        if self._checksum is None and self.summed_by:
            self._checksum = Sum(self.summed_by, value_of(self.summed_by, self.value))
        return self._checksum

    def made_of(self, sizes: tuple[int, ...], checksum: Sum | None) -> None:
        """It was uploaded in these parts, which have such a checksum together."""
        self.part_sizes, self._checksum = sizes, checksum
        self.summed_by = checksum.algorithm if checksum is not None else ""

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
            sealed = self.encryption is not None and self.encryption.startswith("aws:kms")
            salt = f"{self.bucket_name}/{self.name}".encode() if sealed else b""  # under KMS it is no MD5 of the bytes
            self._etag = hashlib.md5(self.value + salt, usedforsecurity=False).hexdigest()
        return f'"{self._etag}"'


class Upload(moto_s3.FakeMultipart):
    """An upload that knows what its object is to be summed by."""

    summed_by = ""
    sum_kind = ""


def install() -> None:
    """Make moto store what this module can load and dump. Once, before the first object."""
    vars(moto_s3)["FakeKey"] = _StoredKey
    vars(moto_s3)["FakeMultipart"] = Upload


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
    may have ``content_type``, ``headers`` (Cache-Control and the like), ``metadata``, ``storage_class``, ``tags``,
    ``etag`` (to pose as the result of a multipart upload), ``part_bytes`` (to be one, with parts and their ETag) and
    ``checksum`` (the algorithm of the one it has). Raises KeyError where one of the first is missing or there is no
    such bucket.
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
        if part := entry.get("part_bytes"):
            value = key.value
            parts = [value[start : start + part] for start in range(0, len(value), part)]
            key.part_sizes, key._etag = tuple(map(len, parts)), etag_of_parts(parts)
        key.summed_by = entry.get("checksum", "")
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


def find(bucket: str, key: str, version_id: str | None = None) -> _StoredKey | None:
    """The current object, or that version of it; None where there is none."""
    held = _backend().buckets.get(bucket)
    if held is None:
        return None
    found = held.keys.getlist(key, []) if version_id else [held.keys.get(key)]
    fitting = [one for one in found if isinstance(one, _StoredKey) and version_id in {None, one.version_id}]
    return fitting[-1] if fitting else None


def etag_of(bucket: str, key: str) -> str | None:
    """The quoted ETag of the current object, or None where there is none."""
    found = find(bucket, key)
    return None if found is None else found.etag


def upload_of(bucket: str, upload_id: str) -> Upload | None:
    """An upload that was begun and neither completed nor aborted."""
    held = _backend().buckets.get(bucket)
    return None if held is None else held.multiparts.get(upload_id)


def open_uploads(bucket: str) -> list[dict[str, Any]]:
    """Multipart uploads that were begun and neither completed nor aborted."""
    uploads = _backend().buckets[bucket].multiparts
    return [{"upload_id": i, "key": u.key_name, "parts": len(u.parts)} for i, u in list(uploads.items())]


def reset() -> None:
    """Forget every bucket and object."""
    BackendDict.reset()
