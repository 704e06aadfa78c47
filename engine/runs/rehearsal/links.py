"""The second half of ``engine demo``: the links move in waves while users go on editing, and move back."""

from __future__ import annotations

from engine.runs.rehearsal.play import Part, Play

EDITED = "https://intranet.example.test/edited-by-a-user.pdf"


class Links:
    """``copied``: records whose files were backed up."""

    def __init__(self, play: Play, copied: list[str]) -> None:
        self._play = play
        self._place = play.place
        self._copied = copied
        self._before: dict[str, str] = {}
        self._edits: dict[str, str] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.verify, self.switch, self.rollback, self.audit, self.compare)

    async def verify(self) -> None:
        self._play.section("Verify: every copy, compared with what was recorded")
        await self._play.engine("verify", codes={0})

    async def switch(self) -> None:
        self._play.section("The switch: links move in waves; users have edited two records since the backup")
        self._before = await self._place.links()
        await self._edit(self._copied[200], self._copied[-1])
        await self._play.engine("run", "switch", "--execute", "--yes", "--no-progress", codes={0, 3})
        now = await self._place.links()
        switched = sum(now[name] != link and name not in self._edits for name, link in self._before.items())
        self._play.line(f"{switched:,} links point at our bucket now")
        if not switched:
            self._play.problems.append("no link was switched")

    async def rollback(self) -> None:
        self._play.section("The rollback; users have edited three more records since the switch")
        await self._edit(*self._copied[300:303])
        words = ("run", "rollback", "--from-database", "--execute", "--yes", "--no-progress")
        await self._play.engine(*words, codes={0, 3})

    async def audit(self) -> None:
        self._play.section("The journal: is every change of every link there, and untouched?")
        await self._play.engine("audit", codes={0})

    async def compare(self) -> None:
        self._play.section("An independent comparison of every link in Salesforce")
        now = await self._place.links()
        restored = sum(now[name] == link for name, link in self._before.items() if name not in self._edits)
        kept = sum(now[name] == link for name, link in self._edits.items())
        lost = len(self._before) - len(self._edits) - restored
        self._play.line(f"{restored:,} links are what they were, byte for byte; {kept} edits of users were kept")
        self._play.line(f"{lost + len(self._edits) - kept} differences")
        if lost or kept != len(self._edits):
            self._play.problems.append(f"{lost} links were not restored, {len(self._edits) - kept} edits were lost")

    async def _edit(self, *names: str) -> None:
        await self._place.org("edit", {"ids": names, "set": {"Document__c": EDITED}})
        self._edits |= dict.fromkeys(names, EDITED)
