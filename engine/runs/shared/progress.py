"""The live display on a terminal, and one plain line a while off it. Everything goes to stderr."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.limiting.clock import Clock
from engine.pipeline.tally import Rates, Tally
from engine.runs.shared.report import duration, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

PLAIN_EVERY_S = 15.0


class Progress:
    """Shows a Tally. ``beat()`` is called twice a second; ``console`` writes to stderr."""

    def __init__(
        self,
        console: Console,
        clock: Clock,
        tally: Tally,
        *,
        live: bool,
        plain: bool = True,
        title: str,
        concurrency: int,
        pressure: Callable[[], str] | None = None,
    ) -> None:
        self._console = console
        self._clock = clock
        self._tally = tally
        self._rates = Rates(clock)
        self._title = title
        self._concurrency = concurrency
        self._pressure = pressure
        self._live: Live | None = None
        self._wanted = live
        self._plain = plain
        self._last_plain = clock.monotonic()

    def __enter__(self) -> Progress:
        if self._wanted:
            from rich.live import Live

            self._live = Live(self._panel(), console=self._console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def beat(self) -> None:
        self._rates.sample(self._tally)
        if self._live is not None:
            self._live.update(self._panel())
        elif self._plain and self._clock.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = self._clock.monotonic()
            self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

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
        if eta is not None:
            parts.append(f"ETA {duration(eta)}")
        return ", ".join(parts)

    def _failures(self) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in self._tally.failures.most_common(6))

    def _panel(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        t = self._tally
        eta = self._rates.eta_s(t)
        head = Table.grid(padding=(0, 2))
        share = f"{100 * t.done / t.total:.1f} %" if t.total else ""
        head.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=t.total or 1, completed=min(t.done, t.total or 0), width=40),
            f"{t.done:,}" + (f" / {t.total:,}" if t.total is not None else ""),
            share,
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
            "outcome",
            f"{t.backed_up:,} backed up   {t.unchanged:,} unchanged   {t.skipped:,} skipped   {t.failed:,} failed",
        )
        body.add_row("moved", f"{size(t.copies.bytes_stored)}   {t.retries:,} retries")
        if t.failures:
            body.add_row("why", self._failures())
        return Group(head, body)
