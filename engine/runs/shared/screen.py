"""Messages and progress for the person at the terminal, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.limiting.clock import Clock
from engine.log import configure, secret_values
from engine.runs.shared.command import to_show
from engine.runs.shared.progress import Figures, Progress
from engine.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[str], None]
STEP_EVERY_S = 15.0


@dataclass(slots=True)
class Screen:
    """``live``: a display that is updated in place; ``quiet``: no progress at all. Messages always appear."""

    console: Console
    live: bool = False
    quiet: bool = False

    def say(self, text: str) -> None:
        """One line for the person. Markup and control characters in it have no effect."""
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

    def progress(self, figures: Figures, clock: Clock) -> Progress:
        """A display of them; use it as a context manager and call ``beat()`` now and then."""
        return Progress(self.console, clock, figures, live=self.live, plain=not self.quiet)

    @contextmanager
    def steps(self, clock: Clock) -> Iterator[Say]:
        """For work without outcomes to count. On a terminal each text replaces the last; off it, a line every 15 s."""
        if self.live:
            from rich.text import Text

            with self.console.status("") as status:
                yield lambda text: status.update(Text(to_show(text)))
            return
        said = clock.monotonic()

        def say(text: str) -> None:
            nonlocal said
            if not self.quiet and clock.monotonic() - said >= STEP_EVERY_S:
                said = clock.monotonic()
                self.say(text)

        yield say
