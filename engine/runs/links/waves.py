"""A switch under way, wave by wave: a question before each, a check of the objects, the links, and a verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

import structlog

from engine.model.errors import Paused
from engine.pipeline.switching import Counts, DriftLimits, Wave, waves
from engine.runs.links.change_report import GONE
from engine.runs.links.link_run import LinkWriter, Recording
from engine.runs.links.selection import Selection
from engine.runs.shared.confirmation import Consent
from engine.runs.shared.lifecycle import Run

log = structlog.get_logger()


class Waves:
    """Moves the links that a plan's selection lets through."""

    def __init__(self, run: Run, selection: Selection, steps: Recording, *, strict: bool) -> None:
        settings = run.services.settings
        self._run = run
        self._selection = selection
        self._progress = selection.progress
        self._limits = DriftLimits(settings.switch.max_drift, settings.migration.error_budget)
        self._writer = LinkWriter(run, steps, strict=strict, on_counts=self._judge)

    async def run(self, wanted: Sequence[Wave], consent: Consent, *, after_wave: Callable[[], Awaitable[None]]) -> None:
        """One wave after the other, until one says stop. Raises Paused and other Fatal."""
        stop = self._run.stop
        for place, wave in enumerate(wanted):
            if self._selection.full:
                break
            if place and not await consent.go_on(
                self._run,
                f"Wave {wanted[place - 1].number} is done: {said_counts(self._progress.waves[-1])}. "
                f"Wave {wave.number} has {wave.records:,} links.",
            ):
                stop.request(f"not asked to go on behind wave {wanted[place - 1].number}", Paused.exit_code)
            if stop.requested:
                return
            counts = await self._wave(wave)
            if not stop.requested and (verdict := self._limits.verdict(counts, over=True)) is not None:
                stop.request(*verdict)
            await after_wave()
        self._selection.end(wanted)

    @property
    def so_far(self) -> Counts:
        """Of this run, the wave under way included."""
        counts = Counts()
        counts.add(self._progress.total)
        counts.add(self._writer.counts)
        return counts

    async def _wave(self, wave: Wave) -> Counts:
        writer, progress = self._writer, self._progress
        self._run.screen.say(f"wave {wave.number}: {wave.records:,} links")
        try:
            await writer.write(self._selection.windows(wave, writer.counts))
        finally:
            counts = writer.take_counts()
            progress.total.add(counts)
            progress.unseen_s = writer.unseen_s
            progress.waves.append({"wave": wave.number, "records": wave.records, **asdict(counts)})
            log.info("wave", wave=wave.number, **asdict(counts))
        return counts

    def _judge(self, counts: Counts) -> None:
        if (verdict := self._limits.verdict(counts, over=False)) is not None:
            self._run.stop.request(*verdict)


def beyond(targets: Sequence[int | str], planned: int) -> list[str]:
    """A note of the links that no wave reaches, where there are any."""
    covered = sum(wave.records for wave in waves(targets, planned))
    if covered == planned:
        return []
    text = f"switch.waves [{', '.join(map(str, targets))}] reach {covered:,} of the plan's {planned:,} links: the other"
    return [f'{text} {planned - covered:,} stay as they are until a last wave "100%" takes them']


def said_counts(counts: dict[str, Any]) -> str:
    """Counts as words."""
    words = {
        "done": "switched",
        "already": "already so",
        "edited": "edited by others and left alone",
        "gone": GONE,
        "missing": "without their copy",
        "stale": "changed since the plan",
        "failed": "failed",
    }
    return ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts.get(name)) or "nothing yet"
