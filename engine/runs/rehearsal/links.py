"""The second half of ``engine demo``: the links move in waves while users go on editing, and move back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.rehearsal.stage import Stage

Act = Callable[[], Awaitable[None]]
EDITED = "https://intranet.example.test/edited-by-a-user.pdf"


class Teller(Protocol):
    """Who tells the story."""

    def act(self, title: str) -> None: ...

    def line(self, text: str) -> None: ...


class Engine(Protocol):
    """Runs the real command; an exit code that is not among ``codes`` spoils the story."""

    async def __call__(self, *words: str, codes: set[int]) -> None: ...


class Links:
    """``copied``: records whose files were backed up. Problems go to ``wrong``."""

    def __init__(self, place: Stage, say: Teller, engine: Engine, copied: list[str], wrong: list[str]) -> None:
        self._place = place
        self._say = say
        self._engine = engine
        self._copied = copied
        self._wrong = wrong
        self._before: dict[str, str] = {}
        self._edits: dict[str, str] = {}

    @property
    def acts(self) -> tuple[Act, ...]:
        return (self.verify, self.switch, self.rollback, self.audit, self.look)

    async def verify(self) -> None:
        self._say.act("A verification: every copy against what is recorded")
        await self._engine("verify", codes={0})

    async def switch(self) -> None:
        self._say.act("The switch: links move in waves; two records were edited by users since")
        self._before = await self._place.links()
        await self._edit(self._copied[200], self._copied[-1])
        await self._engine("run", "switch", "--execute", "--yes", "--no-progress", codes={0, 3})
        now = await self._place.links()
        moved = sum(now[name] != link and name not in self._edits for name, link in self._before.items())
        self._say.line(f"{moved:,} links point at our bucket now")
        if not moved:
            self._wrong.append("no link has moved")

    async def rollback(self) -> None:
        self._say.act("The way back; three more users have put in links of their own meanwhile")
        await self._edit(*self._copied[300:303])
        await self._engine("run", "rollback", "--from-database", "--execute", "--yes", "--no-progress", codes={0, 3})

    async def audit(self) -> None:
        self._say.act("The journal: every change of every link, sealed")
        await self._engine("audit", codes={0})

    async def look(self) -> None:
        self._say.act("An independent look at every link in Salesforce")
        now = await self._place.links()
        restored = sum(now[name] == link for name, link in self._before.items() if name not in self._edits)
        kept = sum(now[name] == link for name, link in self._edits.items())
        lost = len(self._before) - len(self._edits) - restored
        self._say.line(f"{restored:,} links are what they were, byte for byte; {kept} edits of users were kept")
        self._say.line(f"{lost + len(self._edits) - kept} differences")
        if lost or kept != len(self._edits):
            self._wrong.append(f"{lost} links were not restored, {len(self._edits) - kept} edits were lost")

    async def _edit(self, *names: str) -> None:
        await self._place.org("edit", {"ids": names, "set": {"Document__c": EDITED}})
        self._edits |= dict.fromkeys(names, EDITED)
