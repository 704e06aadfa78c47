"""Do the new links open? The first that a switch moves are tried as a user would, before they are moved, and shown in
the question behind their wave. ``old_links.py`` asks the same of old links before a rollback."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import structlog

from engine.limiting.side_by_side import side_by_side
from engine.model.base_url import is_local, is_loopback
from engine.model.change import Change
from engine.model.errors import Blocked, Refused
from engine.model.outcome import Status
from engine.model.text import bare_urls
from engine.runs.links.old_links import PROBES, spread
from engine.runs.shared.assembly import open_as_user, origins_of
from engine.runs.shared.lifecycle import Run
from engine.settings import NetworkSettings
from engine.web.as_user import Opened, seen_by_user

SHOWN = 5
"""Records that the question shows."""
AT_ONCE = 4

log = structlog.get_logger()


class NewLinks:
    """The first of a run. ``force``: they are moved although nobody can open them."""

    def __init__(self, run: Run, network: NetworkSettings, *, force: bool) -> None:
        self._run = run
        self._network = network
        self._force = force
        self._tried: list[Change] = []
        self._seen = ""
        self._shown = False

    async def first(self, windows: AsyncIterator[Sequence[Change]]) -> AsyncIterator[Sequence[Change]]:
        """The same windows; links of the first one are opened before it is handed on. Raises Blocked where they are
        dead."""
        async for window in windows:
            if window and not self._tried:
                self._tried = list(spread(window, PROBES))
                await self._open()
            yield window

    async def shown(self) -> str:
        """What was seen, and a few records whose links have moved; once, and empty from then on. Where none has moved
        yet, the next wave is the first."""
        if self._shown:
            return ""
        rows = await self._run.services.ledger.known([change.id for change in self._tried])
        moved = [each for each in self._tried if each.id in rows and rows[each.id].status is Status.SWITCHED]
        if not moved:
            self._tried = []
            return ""
        self._shown = True
        lines = [self._seen]
        for each in moved[:SHOWN]:
            lines += [f"  {each.id}  {rows[each.id].name}", f"    old {bare_urls(each.old)}", f"    new {each.new}"]
        return "\n".join([*lines, "Open one of these records in Salesforce, and its file, as your users do."])

    async def _open(self) -> None:
        run, links = self._run, [change.new for change in self._tried]
        if elsewhere := self._elsewhere(links):
            self._seen = elsewhere
        else:
            answers = await self._answers(links)
            self._seen = summary(answers)
            dead = any(answer.dead for answer in answers)
            log.info("new_links_opened", seen=self._seen, dead=dead)
            if dead and not self._force:
                raise Blocked(
                    f"{self._seen}; such as {bare_urls(links[0])}",
                    hint="Nothing was written to Salesforce. Check destination.url_template, and open that link from"
                    " here and as a user. --force moves the links all the same.",
                )
        run.note(self._seen)
        await run.services.ledger.note({"opened": self._seen})

    async def _answers(self, links: Sequence[str]) -> list[Opened]:
        answers: dict[str, Opened] = {}
        clock = self._run.services.clock
        try:
            async with open_as_user(self._network, links) as client:

                async def one(link: str) -> None:
                    answers[link] = await seen_by_user(client, link, clock)

                await side_by_side(links, one, at_once=AT_ONCE)
        except Refused as error:
            return [Opened(why=f"no valid host: {error}")]
        return [answers[link] for link in links]

    def _elsewhere(self, links: Sequence[str]) -> str:
        """Why none is opened. A bucket on this machine is a stand-in: where its links lead, nobody has put a file."""
        store = self._run.services.ours.endpoint_url
        try:
            there = sorted(str(each) for each in origins_of(links) if not is_loopback(each.host))
        except Refused:
            return ""
        if not store or not is_local(store) or not there:
            return ""
        return f"no new link was opened: the bucket is on this machine, and the links lead to {there[0]}"


def summary(answers: Sequence[Opened]) -> str:
    """What was seen, in one line."""
    count, opened = len(answers), sum(answer.opens for answer in answers)
    parts = [f"{opened} of {count} new links open without credentials"] if opened else []
    for why, number in Counter(str(answer) for answer in answers if not answer.opens).most_common():
        answered = f"answer {why} to a GET without credentials" if why[:3].isdecimal() else f"do not open: {why}"
        parts.append(f"{number} of {count} new links {answered}")
    return "; ".join(parts)
