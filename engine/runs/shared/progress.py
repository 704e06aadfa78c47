"""A live display on a terminal, and one plain line every 15 seconds off it. Everything goes to stderr."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.limiting.clock import Clock
from engine.pipeline.tally import Rates, Tally
from engine.runs.shared.report import by_reason, duration, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

PLAIN_EVERY_S = 15.0


class Figures:
    """What is shown of a run: the tally, its rates, and how hard the hosts are pressed."""

    def __init__(
        self, tally: Tally, clock: Clock, *, title: str, concurrency: int, pressure: Callable[[], str] | None = None
    ) -> None:
        self._tally = tally
        self._rates = Rates(clock)
        self._title = title
        self._concurrency = concurrency
        self._pressure = pressure
        self._clock = clock
        self._begun = clock.monotonic()

    def sample(self) -> None:
        self._rates.sample(self._tally)

    def line(self) -> str:
        """Everything on one line."""
        t = self._tally
        if t.phase:
            return f"{self._title}: {t.phase}"
        total = f"/{t.total:,}" if t.total is not None else ""
        eta = self._rates.eta_s(t)
        parts = [
            f"{self._title} {t.done:,}{total}",
            f"{self._rates.files_per_s:,.0f} files/s",
            f"{size(self._rates.bytes_per_s)}/s",
            f"{t.in_flight} in flight",
            f"{t.failed:,} failed" + (f" ({self._failures()})" if t.failures else ""),
        ]
        if self._pressure is not None:
            parts.append(self._pressure())
        if t.retries:
            parts.append(f"{t.retries:,} retries")
        parts.append(f"after {self._elapsed()}")
        if eta is not None:
            parts.append(f"ETA {duration(eta)}")
        return ", ".join(parts)

    def panel(self) -> RenderableType:
        """The same as a display of several lines."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        t = self._tally
        eta = self._rates.eta_s(t)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=t.total or 1, completed=min(t.done, t.total or 0), width=40),
            f"{t.done:,}" + (f" / {t.total:,}" if t.total is not None else ""),
            f"{100 * t.done / t.total:.1f} %" if t.total else "",
            f"after {self._elapsed()}",
            f"ETA {duration(eta)}" if eta is not None else "",
        )
        body = Table.grid(padding=(0, 2))
        if t.phase:
            body.add_row("now", Text(t.phase))
        body.add_row("rate", f"{self._rates.files_per_s:,.0f} files/s   {size(self._rates.bytes_per_s)}/s")
        body.add_row("in flight", f"{t.in_flight} of {self._concurrency}")
        if self._pressure is not None:
            body.add_row("pressure", self._pressure())
        body.add_row(
            "records",
            f"{t.backed_up:,} backed up   {t.unchanged:,} unchanged   {t.skipped:,} skipped   {t.failed:,} failed",
        )
        body.add_row("stored", f"{size(t.copies.bytes_stored)}   {t.retries:,} retries")
        if t.failures:
            body.add_row("failures", self._failures())
        return Group(head, body)

    def _elapsed(self) -> str:
        return duration(self._clock.monotonic() - self._begun)

    def _failures(self) -> str:
        return by_reason(dict(self._tally.failures.most_common(6)))


class Progress:
    """Shows figures. ``beat()`` is called twice a second; ``console`` writes to stderr."""

    def __init__(self, console: Console, clock: Clock, figures: Figures, *, live: bool, plain: bool) -> None:
        self._console = console
        self._clock = clock
        self._figures = figures
        self._wanted = live
        self._plain = plain
        self._live: Live | None = None
        self._last_plain = clock.monotonic()

    def __enter__(self) -> Progress:
        if self._wanted:
            from rich.live import Live

            self._live = Live(self._figures.panel(), console=self._console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def beat(self) -> None:
        self._figures.sample()
        if self._live is not None:
            self._live.update(self._figures.panel())
        elif self._plain and self._clock.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = self._clock.monotonic()
            self._console.print(self._figures.line(), highlight=False, markup=False, soft_wrap=True)
