"""Questions to the person at the terminal: a typed confirmation before the first write, and one between waves."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Protocol

from engine.model.errors import Usage
from engine.pipeline.stop import Stop
from engine.runs.shared.lifecycle import Run


class Ask(Protocol):
    """Who answers. ``ask`` returns the line that was typed; None when nobody will answer."""

    @property
    def present(self) -> bool: ...

    async def ask(self, stop: Stop) -> str | None: ...


class Terminal:
    """The terminal on stdin."""

    @property
    def present(self) -> bool:
        """Whether somebody sits there."""
        return sys.stdin is not None and sys.stdin.isatty()

    async def ask(self, stop: Stop) -> str | None:
        """One line; None at the end of input, or when a stop comes first."""
        loop = asyncio.get_running_loop()
        typed: asyncio.Future[bytes] = loop.create_future()
        handle = sys.stdin.fileno()

        def read() -> None:
            line = os.read(handle, 4096)
            if not typed.done():
                typed.set_result(line)

        loop.add_reader(handle, read)
        try:
            await stop.or_ended(typed)
        finally:
            loop.remove_reader(handle)
        return typed.result().decode(errors="replace").strip() if typed.done() and typed.result() else None


@dataclass(frozen=True, slots=True)
class Consent:
    """Yes by flag, or by the person. ``--yes`` answers everything; off a terminal there is no other way to write."""

    person: Ask
    yes: bool

    def must_be_possible(self) -> None:
        """Raises Usage where nobody could say yes."""
        if not self.yes and not self.person.present:
            raise Usage(
                "this writes to Salesforce, and there is no terminal to ask at",
                hint="Try --dry-run first; then add --yes.",
            )

    async def typed(self, run: Run, what: str, word: str) -> bool:
        """Whether the person types ``word`` exactly."""
        if self.yes:
            return True
        run.screen.say(f"{what}\nType {word} to go on; anything else stops here:")
        return await self.person.ask(run.stop) == word

    async def go_on(self, run: Run, what: str) -> bool:
        """Whether the next wave may start."""
        if self.yes:
            return True
        run.screen.say(f"{what} Go on? [yes/no]")
        return (await self.person.ask(run.stop) or "").lower() in {"y", "yes"}
