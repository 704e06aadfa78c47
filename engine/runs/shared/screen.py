"""Where a run talks to its person: messages and progress, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.limiting.clock import Clock
from engine.log import configure, secret_values
from engine.pipeline.tally import Tally
from engine.runs.shared.command import to_show
from engine.runs.shared.progress import Progress
from engine.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[str], None]
STEP_EVERY_S = 15.0


@dataclass(slots=True)
class Screen:
    """``live``: a moving display; ``quiet``: no progress lines at all. Messages always come through."""

    console: Console
    live: bool = False
    quiet: bool = False

    def say(self, text: str) -> None:
        """One line for the person. Markup and control characters of data are inert."""
        self.console.print(to_show(text), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def logging(self, settings: Settings) -> Iterator[None]:
        """The run's log files, with this terminal for warnings."""
        log = configure(
            settings.logging.directory,
            settings.logging.level,
            tty=self.console.is_terminal,
            run_id=None,
            redact=secret_values(settings),
        )
        try:
            yield
        finally:
            log.close()

    def progress(
        self,
        tally: Tally,
        clock: Clock,
        *,
        title: str,
        concurrency: int,
        pressure: Callable[[], str] | None = None,
    ) -> Progress:
        """A display of the tally; use as a context manager and call ``beat()`` now and then. ``pressure`` tells how
        hard the hosts are pressed."""
        return Progress(
            self.console,
            clock,
            tally,
            live=self.live,
            plain=not self.quiet,
            title=title,
            concurrency=concurrency,
            pressure=pressure,
        )

    @contextmanager
    def steps(self, clock: Clock) -> Iterator[Say]:
        """For work without outcomes to count: what it says replaces itself on a terminal; off one, a line a while."""
        if self.live:
            from rich.text import Text

            with self.console.status("") as status:
                yield lambda text: status.update(Text(to_show(text)))
            return
        told = clock.monotonic()

        def say(text: str) -> None:
            nonlocal told
            if not self.quiet and clock.monotonic() - told >= STEP_EVERY_S:
                told = clock.monotonic()
                self.say(text)

        yield say
