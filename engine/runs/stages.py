"""A backup's flow at a glance, for ``pipeline/watch.py``."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.plan import Work
from engine.pacing.gates import Gates
from engine.pipeline.channel import Channel
from engine.pipeline.recorder import Recorder
from engine.salesforce.connection import Salesforce


@dataclass(frozen=True, slots=True)
class FlowStages:
    """Fits ``Stages``."""

    channel: Channel[list[Work]]
    recorder: Recorder
    salesforce: Salesforce

    @property
    def leases(self) -> int:
        return len(self.channel)

    @property
    def leases_full(self) -> bool:
        return self.channel.full

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


def pressure(gates: Gates, stages: FlowStages) -> str:
    """How hard the hosts may be pressed now, and what waits, for the display."""
    gate = gates.destination
    told = [f"limit {gate.limit}" + (f" and {gate.rate:,.0f}/s" if gate.rate is not None else "")]
    narrow = min(gates.sources, key=lambda each: each.limit)
    if narrow.limit < narrow.most and narrow.refusals:
        told.append(f"source limit {narrow.limit}")
    if refusals := sum(each.refusals for each in gates.all):
        told.append(f"{refusals:,} refused")
    told.append(f"queued {stages.leases} leases, {stages.unwritten:,} unwritten")
    if (api := stages.api) is not None:
        told.append(f"API {api['used']:,} of {api['max']:,}")
    return ", ".join(told)
