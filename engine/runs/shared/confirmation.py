"""Questions to the person at the terminal: a typed confirmation before the first write, and one between waves."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass, field
from typing import Protocol

from engine.limiting.clock import iso
from engine.model.errors import Usage
from engine.model.text import printable
from engine.pipeline.stop import Stop
from engine.runs.shared.lifecycle import Run
from engine.runs.shared.person import who
from engine.salesforce.shape import Organization

_EASY = re.compile(r"[A-Za-z0-9]+([ ._-][A-Za-z0-9]+)*")


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
    """Yes by flag, or by the person. ``--yes`` answers everything; off a terminal there is no other way to write.

    Each answer is noted in the run's row, with who gave it and when.
    """

    person: Ask
    yes: bool
    given: list[dict[str, str]] = field(default_factory=list)

    def must_be_possible(self) -> None:
        """Raises Usage where nobody could say yes."""
        if not self.yes and not self.person.present:
            raise Usage(
                "this writes to Salesforce, and there is no terminal to ask at",
                hint="Try --dry-run first; then add --yes.",
            )

    async def typed(self, run: Run, what: str, organization: Organization) -> bool:
        """Whether the person types the org's name, or its Id, exactly."""
        if self.yes:
            return await self._note(run, "the first write", agreed=True)
        word = easy(organization)
        run.screen.say(f"{what}\nType {word} to go on; anything else stops here:")
        said = plain(await self.person.ask(run.stop) or "")
        agreed = said in {plain(organization.name), organization.id} - {""}
        return await self._note(run, "the first write", agreed=agreed)

    async def go_on(self, run: Run, to: str, what: str) -> bool:
        """Whether the next wave, ``to``, may start."""
        if self.yes:
            return await self._note(run, to, agreed=True)
        run.screen.say(f"{what} Go on? [yes/no]")
        said = (await self.person.ask(run.stop) or "").lower()
        return await self._note(run, to, agreed=said in {"y", "yes"})

    @property
    def told(self) -> str:
        """Who has agreed, in a line; empty: nobody was asked yet."""
        if self.yes:
            return "nobody was asked: --yes was given" if self.given else ""
        return ", ".join(f"{each['answer']} to {each['to']} by {each['who']} at {each['at']}" for each in self.given)

    async def _note(self, run: Run, to: str, *, agreed: bool) -> bool:
        answer = {"to": to, "answer": "yes" if agreed else "no", "at": iso(run.services.clock.now())}
        self.given.append(answer | ({"asked": "nobody: --yes was given"} if self.yes else {"who": who()}))
        await run.services.ledger.note({"consent": self.given})
        return agreed


def easy(organization: Organization) -> str:
    """What to type: the org's name, or its Id where a keyboard may not have all of the name, or a person may wonder
    which quotes and blanks belong to it."""
    return organization.name if _EASY.fullmatch(organization.name) else organization.id


def plain(text: str) -> str:
    """As a terminal shows it, with single blanks."""
    return " ".join(printable(text).split())
