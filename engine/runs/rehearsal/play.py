"""What all sections of ``engine demo`` share: the stand-ins, the output, and the real command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from engine.rehearsal import children

if TYPE_CHECKING:
    from rich.console import Console

    from engine.rehearsal.stage import Stage


Part = Callable[[], Awaitable[None]]


class Play:
    """One demo. ``problems``: what did not end as it should."""

    def __init__(self, place: Stage, console: Console) -> None:
        self.place = place
        self.problems: list[str] = []
        self._console = console
        self._sections = 0

    def section(self, title: str) -> None:
        """Begin the next one."""
        self._sections += 1
        self._console.print(f"\n[bold]{self._sections}. {title}[/bold]")

    def line(self, text: str) -> None:
        self._console.print(f"   {text}", markup=False, soft_wrap=True)

    async def engine(self, *words: str, codes: set[int]) -> None:
        """Run the real command. An exit code that is not among ``codes`` is a problem."""
        process = await self.start(*words)
        code = await process.wait()
        if code not in codes:
            self.problems.append(f"engine {' '.join(words)} ended with exit code {code}")

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Start the real command as a person would."""
        self.line(f"$ engine {' '.join(words)}")
        self._console.file.flush()
        return await asyncio.create_subprocess_exec(
            *children.command("cli", "--config", str(self.place.settings_file), *words), env=children.environment()
        )
