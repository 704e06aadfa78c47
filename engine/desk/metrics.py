"""What the DB knows as Prometheus metrics: few series, however many records and accounts there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from engine.desk.figures import Figures
from engine.model.errors import EngineError

_OF_A_SAMPLE = {
    "files_per_s": ("engine_files_per_second", "Files that ended per second, over the last ten seconds"),
    "in_flight": ("engine_copies_in_flight", "Copies under way"),
    "limit": ("engine_destination_limit", "Requests that the adaptive limiter allows at the destination at a time"),
    "source_limit": ("engine_source_limit", "The same for the narrowest source"),
    "leases": ("engine_queue_batches", "Batches of work that wait for a worker"),
    "unwritten": ("engine_unwritten_outcomes", "Outcomes that wait for their commit"),
    "cpu": ("engine_cpu_share", "Share of one core that the engine's own thread used"),
}
"""Of the last ten seconds of a backup; names in a sample, of a metric, and its help."""
_OF_A_WORKER = {
    "files_per_s": ("engine_worker_files_per_second", "Files that a worker copied per second, over ten seconds"),
    "in_hand": ("engine_worker_files_in_hand", "Files that a worker was given and that have not ended"),
    "silent_s": ("engine_worker_silent_seconds", "Since the last sign of life of a worker"),
}
"""Only where a run has workers in processes of their own."""


class _Collector:
    def __init__(self, overview: dict[str, Any]) -> None:
        self._now = overview

    def collect(self) -> Iterator[Metric]:
        now = self._now
        files = {state: count for state, count in now["files"].items() if state not in {"tracked", "bytes"}}
        yield _labelled("engine_records", "Records by state", "state", files.items())
        yield _gauge("engine_copied_bytes", "Bytes of all copies that stand", now["files"]["bytes"])
        failures = [(each["failure_class"], each["count"]) for each in now["errors"]]
        yield _labelled("engine_failed_records", "Failed records by class", "failure_class", failures)
        if now["scope"]["records"] is not None:
            yield _gauge(
                "engine_scope_records", "Records in scope as the last scan counted them", now["scope"]["records"]
            )
        complete = int(now["scope"]["complete"])
        yield _gauge("engine_scan_complete", "1: the last full scan has met every record in scope", complete)
        yield _gauge("engine_running", "1: a run is under way", int(now["running"]))
        yield _gauge("engine_links_in_doubt", "Link changes whose end nobody knows yet", now["in_doubt"])
        yield _gauge("engine_broken_links", "Switched links that lead to no copy, or to another file", now["unproved"])
        succeeded = [(kind, datetime.fromisoformat(at).timestamp()) for kind, at in now["succeeded"].items()]
        words = "When the last run of a type was completed"
        yield _labelled("engine_last_success_timestamp_seconds", words, "run_type", succeeded)
        if now["api"] is not None:
            yield _gauge("engine_api_calls_used", "Salesforce API calls of the last 24 hours", now["api"]["used"])
            yield _gauge("engine_api_calls_allowed", "Salesforce API calls allowed in 24 hours", now["api"]["max"])
        if now["running"] and now["trend"]:
            yield from self._of_sample(now["trend"][-1])

    def _of_sample(self, sample: dict[str, Any]) -> Iterator[Metric]:
        for name, (metric, words) in _OF_A_SAMPLE.items():
            yield _gauge(metric, words, sample[name])
        yield _gauge("engine_loop_late_seconds", "The most that the event loop was late", sample["lag_ms"] / 1000)
        yield _gauge("engine_resident_bytes", "Memory of the process", sample["rss_mb"] * 1e6)
        if (workers := sample.get("workers")) is not None:
            yield _gauge("engine_workers", "Workers in processes of their own", len(workers))
            for name, (metric, words) in _OF_A_WORKER.items():
                yield _labelled(metric, words, "worker", [(each["name"], each[name]) for each in workers])


def text(overview: dict[str, Any]) -> bytes:
    """The text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Collector(overview))
    return generate_latest(registry)


def answering(figures: Figures) -> Handler:
    """What answers requests for them; 503 while the DB cannot be read."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        try:
            body = await asyncio.to_thread(lambda: text(figures.overview()))
        except EngineError as error:
            return web.Response(status=503, text=f"{error}\n")
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return answer


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _labelled(name: str, words: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for each, value in values:
        family.add_metric([each], value)
    return family
