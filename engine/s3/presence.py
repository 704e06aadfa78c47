"""Whether the source is there at all. Denials are no news here: how its objects may be read is the probe's question."""

from __future__ import annotations

from engine.model.errors import Blocked, Refused
from engine.s3.api.answers import StoreError
from engine.s3.api.client import S3Client
from engine.s3.api.faults import Patience, Side
from engine.s3.open import S3, source_headers


async def check_source(s3: S3) -> None:
    """HEAD each of ``source.buckets``. Raises Blocked where one does not exist, lives elsewhere or does not take the
    keys, Transient where nobody answers.

    Nothing is asked where the source is read by plain http, or where no credentials here could sign the question.
    """
    source = s3.settings.source
    if source.access == "http" or (asking := await _verbs(s3)) is None:
        return
    verbs, patience = asking
    for bucket in source.buckets:
        try:
            await verbs.head_bucket(bucket, source_headers(source))
        except StoreError as error:
            if error.status == 404:
                raise Blocked(
                    f"the source bucket s3://{bucket} does not exist",
                    hint="check source.buckets and source.endpoint_url; delete a bucket that is gone for good there",
                ) from None
            found = patience.judge(error, f"HEAD s3://{bucket}", side=Side.SOURCE)
            if not isinstance(found, Refused):
                raise found from None


async def _verbs(s3: S3) -> tuple[S3Client, Patience] | None:
    if s3.settings.source.anonymous or await s3.source_keys.found():
        return s3.source_verbs, s3.source_patience
    return (s3.destination_verbs, s3.destination_patience) if s3.one_service else None
