"""The journal's head as the destination bucket keeps it: a witness that does not live on this machine."""

from __future__ import annotations

from engine.model.change import Head
from engine.model.errors import Differs, EngineError
from engine.model.location import Location, Origin
from engine.s3.open import S3
from engine.tracking import chain
from engine.tracking.chain import Key

PREFIX = ".engine/"
"""Of everything in the destination bucket that is no file of a record."""


def folder(key: Key, first: str) -> str:
    """Where the heads of one journal lie in the bucket; ``first``: the seal of its first row."""
    return f"{PREFIX}journal/{key.fingerprint}-{first[:16]}/"


async def remote_head(s3: S3, key: Key, first: str) -> tuple[Head | None, str]:
    """The latest head in the bucket; None where it holds none; None and why, where it does not say. Raises Differs for
    a false one."""
    bucket = s3.settings.destination.bucket
    last = ""
    try:
        async for rows in s3.destination.inventory(folder(key, first)):
            last = rows[-1].key
        if not last:
            return None, ""
        async with s3.ours.open(_place(bucket, last), None) as reading:
            document = b"".join([bytes(chunk) async for chunk in reading.chunks()])
    except Differs:
        raise
    except EngineError as error:
        return None, str(error)
    return chain.read_head(key, document, f"s3://{bucket}/{last}"), ""


def _place(bucket: str, key: str) -> Location:
    return Location(Origin("s3", bucket, 443), f"s3://{bucket}/{key}", bucket=bucket, key=key)
