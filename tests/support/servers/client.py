"""A plain boto3 client for any of the S3 servers: path style, no retries, no checksum unless a test asks for one."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

import boto3
from botocore.config import Config

from engine.rehearsal.objects import ObjectServer


def client_of(server: ObjectServer, secret_key: str | None = None) -> Any:
    """A boto3 S3 client; ``secret_key`` overrides the right one."""
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        region_name=server.region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=5,
            read_timeout=20,
        ),
    )


def md5_base64(body: bytes) -> str:
    """Content-MD5 of a body."""
    return b64encode(hashlib.md5(body).digest()).decode()


def sha256_base64(body: bytes) -> str:
    """x-amz-checksum-sha256 of a body."""
    return b64encode(hashlib.sha256(body).digest()).decode()
