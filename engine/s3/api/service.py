"""One side's S3 service, and with what it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from engine.limiting.limiter import Limiter
from engine.s3.api.address import Address, address_of
from engine.s3.api.client import S3Client
from engine.s3.api.credentials import Keyring
from engine.s3.api.faults import Patience
from engine.s3.api.limited import LimitedClient


@dataclass(frozen=True, slots=True)
class Service:
    """A service, its credentials, what is known of them, and its limiter."""

    endpoint_url: str | None
    """None: AWS."""
    region: str
    keyring: Keyring
    patience: Patience
    limiter: Limiter
    anonymous: bool = False
    """Requests go unsigned."""
    home: str = ""
    """Our bucket, which lives in ``region``; empty: any bucket may live elsewhere."""

    def address(self, bucket: str, region: str) -> Address:
        """Where a bucket answers."""
        return address_of(bucket, region, self.endpoint_url)

    def limited(self, client: S3Client) -> LimitedClient:
        """The client, behind the limiter."""
        return LimitedClient(client, self.limiter, self.patience)
