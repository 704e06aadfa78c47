"""Whether the source is there at all. Denials are no news here: how its objects may be read is the probe's question."""

from __future__ import annotations

from engine.model.errors import Blocked
from engine.s3.answers import StoreError
from engine.s3.faults import STALE_LOGIN
from engine.s3.open import S3, source_headers
from engine.s3.verbs import Verbs


async def check_source(s3: S3) -> None:
    """HEAD each of ``source.buckets``. Raises Blocked where one does not exist, Transient where nobody answers.

    Nothing is asked where the source is read by plain http, or where no credentials here could sign the question.
    """
    source = s3.settings.source
    if source.access == "http" or (verbs := await _verbs(s3)) is None:
        return
    for bucket in source.buckets:
        try:
            await verbs.head_bucket(bucket, source_headers(source))
        except StoreError as error:
            if error.status == 404:
                raise Blocked(
                    f"the source bucket s3://{bucket} does not exist",
                    hint="check source.buckets and source.endpoint_url; delete a bucket that is gone for good there",
                ) from None
            if error.status == 0 or error.status >= 500 or error.code in STALE_LOGIN:
                raise s3.patience.judge(error, f"HEAD s3://{bucket}") from None


async def _verbs(s3: S3) -> Verbs | None:
    if s3.settings.source.anonymous or await s3.source_keys.found():
        return s3.source_verbs
    return s3.destination_verbs if s3.one_service else None
