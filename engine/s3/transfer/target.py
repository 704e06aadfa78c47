"""Where objects are written, and how."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from engine.model.facts import ObjectFacts
from engine.s3.api.answers import Bytes, Fields, StoreError
from engine.s3.api.client import S3Client
from engine.s3.api.sigv4 import UNSIGNED
from engine.s3.transfer.extras import Tags
from engine.s3.transfer.hashing import hashed
from engine.s3.transfer.object_ref import ObjectRef
from engine.s3.transfer.parts import Sizes


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket, and how it is reached."""

    client: S3Client
    name: str
    always: Fields
    """Headers of every request: the bucket's expected owner."""
    region: str | None = None
    """Where it must lie; None behind an endpoint of its own, which has no regions."""
    tls: bool = False
    """It is reached over TLS, which lets nobody change a body on its way."""

    def at(self, key: str) -> ObjectRef:
        """One of its objects."""
        return ObjectRef(self.client, self.name, key, self.always)

    async def look(self, key: str) -> ObjectFacts | None:
        """HEAD with checksums, a multipart SHA-256 included; None: the key is free. Raises StoreError."""
        try:
            return await self.at(key).facts(composites=True)
        except StoreError as error:
            if error.missing:
                return None
            raise

    async def signed(self, body: Bytes, sha256: bytes | None, *, summed: bool) -> str:
        """What a signature says of a body: its SHA-256, or UNSIGNED over TLS where that is not known and a header holds
        another checksum (``summed``), with which the store compares the bytes."""
        if sha256 is None and summed and self.tls:
            return UNSIGNED
        if sha256 is None:
            sha256 = await hashed(len(body), lambda: hashlib.sha256(body).digest())
        return sha256.hex()

    def __str__(self) -> str:
        """For a person."""
        return f"s3://{self.name}"


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How objects are written."""

    placed: Fields
    """Headers of every new object: storage class, encryption."""
    checksum: str
    """``sha256`` or ``crc64nvme``."""
    sizes: Sizes
    attempts: int
    """Tries per part of a multipart upload."""
    tags: Tags
    file_hash: bool = True
    """Whether the SHA-256 of every stream is wanted, for the tracking DB."""

    @property
    def of_all(self) -> frozenset[str]:
        """What is summed of every stream that goes by one PUT."""
        return frozenset({self.checksum, "sha256"} if self.file_hash else {self.checksum})

    @property
    def crc(self) -> bool:
        return self.checksum == "crc64nvme"
