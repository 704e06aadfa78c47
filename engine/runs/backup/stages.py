"""A backup's flow at a glance, for ``pipeline/watch.py``."""

from __future__ import annotations

from dataclasses import dataclass

from engine.limiting.limiters import Limiters
from engine.pipeline.recorder import Recorder
from engine.pipeline.work_queue import WorkQueue
from engine.salesforce.connection import Salesforce


@dataclass(frozen=True, slots=True)
class FlowStages:
    """Fits ``Stages``."""

    queue: WorkQueue
    recorder: Recorder
    salesforce: Salesforce

    @property
    def work_batches(self) -> int:
        return len(self.queue)

    @property
    def work_batches_full(self) -> bool:
        return self.queue.full

    @property
    def unwritten(self) -> int:
        return self.recorder.unwritten

    @property
    def asking(self) -> bool:
        return self.salesforce.asking

    @property
    def api(self) -> dict[str, int] | None:
        limits = self.salesforce.limits
        return None if limits is None else {"used": limits.used, "max": limits.allowed}


def pressure(limiters: Limiters, stages: FlowStages) -> str:
    """How hard the hosts may be pressed now, and what waits, for the display."""
    limiter = limiters.destination
    told = [f"limit {limiter.limit}" + (f" and {limiter.rate:,.0f}/s" if limiter.rate is not None else "")]
    narrow = min(limiters.sources, key=lambda each: each.limit)
    if narrow.limit < narrow.most and narrow.refusals:
        told.append(f"source limit {narrow.limit}")
    if refusals := sum(each.refusals for each in limiters.all):
        told.append(f"{refusals:,} refused")
    told.append(f"queued {stages.work_batches} batches, {stages.unwritten:,} unwritten")
    if (api := stages.api) is not None:
        told.append(f"API {api['used']:,} of {api['max']:,}")
    return ", ".join(told)
