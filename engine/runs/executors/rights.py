"""Whether a worker may read, by its own rights, what the run reads: seen before its first batch."""

from __future__ import annotations

import platform

from engine.model.command import Command
from engine.model.errors import Blocked, Refused, Transient
from engine.model.failures import FailureClass
from engine.model.plan import Plan
from engine.pipeline.routes import Routes
from engine.pipeline.work_batches import WorkBatch

SAMPLES = 4
"""Rights may differ by key."""


async def check_rights(batch: WorkBatch, routes: Routes) -> None:
    """Look at a few sources of a batch. Raises Blocked where all are denied.

    Only files that a listing has shown, in buckets that the run itself can read: elsewhere a denial may mean that a
    file is missing.
    """
    readable = {bucket for bucket, _, _ in batch.routes if bucket}
    sources = [
        work.source
        for work in batch.works
        if isinstance(work, Plan) and work.pinned is not None and not work.source.presigned
        if work.source.bucket in readable
    ]
    samples = sources[:: -(-len(sources) // SAMPLES) or 1]
    for sample in samples:
        try:
            await routes.of(sample).source.look(sample)
        except Refused as refused:
            if refused.failure is not FailureClass.SOURCE_DENIED:
                return
        except Transient:
            return  # the batch itself will tell
        else:
            return
    if samples:
        raise _no_rights(samples[0].bucket)


def _no_rights(bucket: str) -> Blocked:
    return Blocked(
        f"the worker on {platform.node()} may not read s3://{bucket}, and the run may",
        hint=("give its role s3:GetObject there, as the policy says that ", Command("doctor --iam"), " writes"),
    )
