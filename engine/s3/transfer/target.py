"""Where objects are written, and how."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.facts import ObjectFacts
from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.client import S3Client
from engine.s3.transfer.extras import Tags
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

    @property
    def crc(self) -> bool:
        return self.checksum == "crc64nvme"
