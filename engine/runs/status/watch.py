"""``engine status --watch``: the same tables again and again, with small charts of the last run, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from engine.limiting.clock import TIME, Clock, for_people
from engine.model.errors import Usage
from engine.runs.shared.tables import line, table
from engine.runs.status.progress import run_line, scope_line
from engine.runs.status.status import StatusOptions, show_parts
from engine.settings import Settings
from engine.tracking.read.report import Report, open_report

if TYPE_CHECKING:
    from rich.console import Console

EVERY_S = 2.0
SHARE = 0.1
"""Most of the time that reading the DB may take: it is there for the run."""
PLAIN_EVERY_S = 15.0
WIDTH = 60
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-:=+*#"
_CHARTS = (
    ("files_per_s", "files/s", 1.0),
    ("mb_per_s", "MB/s", 1.0),
    ("in_flight", "in flight", 1.0),
    ("refusals", "refused", 1.0),
    ("lag_ms", "ms late", 1.0),
    ("cpu", "% CPU", 100.0),
)
"""Key of a sample, what it is called, and its factor."""


async def watch(settings: Settings, wanted: StatusOptions, console: Console, clock: Clock) -> None:
    """Show the parts that are wanted until it is cancelled. Off a terminal it is a line every 15 s, where one changed.
    Raises Blocked where there is no DB to read; Usage where a file or JSON is wanted."""
    if wanted.as_json or wanted.export is not None or wanted.not_ready is not None:
        raise Usage("--watch only shows: it goes neither with --json nor with a file to write")
    able = console.is_terminal and not console.is_dumb_terminal
    with _screen(console) if able else _lines(console) as show:
        while True:
            begun = clock.monotonic()
            with open_report(settings.tracking.database) as report:
                show(_picture(report, wanted, settings, console) if able else _plain(report))
            await clock.sleep(max(EVERY_S if able else PLAIN_EVERY_S, (clock.monotonic() - begun) / SHARE))


@contextmanager
def _lines(console: Console) -> Iterator[Callable[[str], None]]:
    before = ""

    def say(text: str) -> None:
        nonlocal before
        if text != before:
            line(console, text)
        before = text

    yield say


@contextmanager
def _screen(console: Console) -> Iterator[Callable[[str], None]]:
    from rich.live import Live
    from rich.text import Text

    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda text: live.update(Text.from_ansi(text), refresh=True)


def _plain(report: Report) -> str:
    progress, runs = report.progress(), report.runs(1)
    under_way = progress is not None and bool(runs) and runs[0]["status"] == "running"
    return run_line(progress) if progress is not None and under_way else scope_line(report.scope())


def _picture(report: Report, wanted: StatusOptions, settings: Settings, console: Console) -> str:
    """Everything as text with colours, at most as high as the terminal."""
    from rich.console import Console

    drawn = StringIO()
    paper = Console(
        file=drawn,
        width=console.width,
        color_system="standard" if console.color_system else None,
        force_terminal=True,
        emoji=False,
        highlight=False,
        no_color=console.no_color,
    )
    show_parts(report, wanted.shown, wanted.recent_errors, settings, paper)
    bars = BARS if console.encoding.startswith("utf") else PLAIN_BARS
    if samples := report.trend(WIDTH):
        heads = ("of the last run", "", "now", "most")
        table(
            paper,
            f"From {for_people(samples[0]['at'], TIME)} to {for_people(samples[-1]['at'], TIME)}",
            heads,
            charts(samples, bars),
            (2, 3),
            None,
        )
    line(paper, "Ctrl-C ends this view; a run goes on without it.")
    rows = drawn.getvalue().splitlines()
    if len(rows) > console.height:
        rows = [*rows[: console.height - 2], f"… {len(rows) - console.height + 2} lines more: make the window higher"]
    return "\n".join(rows)


def charts(samples: Sequence[Mapping[str, Any]], bars: str) -> list[tuple[str, str, str, str]]:
    """A row for each figure: name, bars, the latest value, the highest. Oldest sample first."""
    rows = []
    for key, name, factor in _CHARTS:
        values = [factor * float(sample[key]) for sample in samples]
        rows.append((name, sparkline(values, bars), f"{values[-1]:,.0f}", f"{max(values):,.0f}"))
    return rows


def sparkline(values: Sequence[float], bars: str) -> str:
    """A bar a value: the lowest for 0, the highest for the greatest value."""
    most = max([*values, 0.0])
    return "".join(bars[round((len(bars) - 1) * max(0.0, value) / most)] if most else bars[0] for value in values)
