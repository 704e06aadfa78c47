"""What must hold after every step, at the end of every process, and when all is quiet.

===========  =========================================================================================================
I3           a link is written only behind a durable row of the journal that announces just this
I17          and behind the same row in the bucket
I3-settled   while the org is still at it, no row of the journal says how it ended
I4           only a record that holds ours gets its original back, and no other
I5           no link is moved to an object that is not there, or does not hold the file's content
I7           what somebody has edited is not overwritten, save within the time that the report owns up to
I7-object    no object of ours is overwritten by other content
I13          when all is quiet no upload of ours is open
I8           the vendor's bucket is only read
I9           backups, verifications and dry runs write nothing to Salesforce
one-parent   no two writes are under way for records of one account
truth        the journal says where a link stands that a process has written, or that it does not know
I18-flow     no exit 0 where automation changed what was written
I18          an exit code and its counts are true
quiet        every link that we changed is the original, ours with its object and a row, or a later edit
rows         the tracking DB's rows are what the reference model makes of org and bucket
fixed-point  a second pass changes nothing
crash        nothing raises but what the run means to raise
stuck        every run ends
pinned       a tracking DB is used with the field and bucket that it follows, or not at all
refused      an untouched journal is never refused
===========  =========================================================================================================
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.simulation.bucket import OURS, VENDOR, Held
from tests.simulation.links import bad_copy, key_of
from tests.simulation.records import Entry, Request
from tests.simulation.tracked import OPEN, Row, said, short
from tests.simulation.world import SimWorld


@dataclass(slots=True)
class Overwritten:
    """An edit that a write of ours went over."""

    record: str
    edited: float
    written: float
    life: int
    """Which process sent the write."""
    orphaned: bool
    """That process was over by then, and the journal knew that the link was in doubt."""


@dataclass(slots=True)
class Watch:
    """The oracles of one world."""

    world: SimWorld
    verb: str = ""
    writes: bool = False
    """Whether the command at work may write to Salesforce."""
    whole: bool = True
    """Nothing restricts it."""
    elsewhere: bool = False
    """The settings lead where the tracking DB does not belong: a refusal is wanted."""
    bad_disk: bool = False
    """The disk of the process at work is full, or fails."""
    bad_login: bool = False
    """Something may come between the process at work and its login."""
    run: int | None = None
    """Which switch is undone; None: all of them."""
    epoch: int = 0
    """How often the box was lost or restored: what an earlier one announced, a later one need not know."""
    overwritten: list[Overwritten] = field(default_factory=list)
    moved: list[tuple[int, str, str, float]] = field(default_factory=list)
    """(process, record, link, when) of every change by the API."""
    _ours: dict[str, Held] = field(default_factory=dict)
    """What the engine itself has written: its own bad write it may replace."""
    seen: int = 0
    """Rows of the journal that have been held against the world."""
    _epochs: dict[int, int] = field(default_factory=dict)
    _kept: set[tuple[Any, ...]] = field(default_factory=set)
    """Rows of the journal that the bucket has taken."""

    def __post_init__(self) -> None:
        org = self.world.org
        org.on_arrival, org.on_change, org.on_done = self._arrived, self._changed, self._done
        self.world.store.on_write = self._stored

    # after every step

    def _arrived(self, request: Request) -> None:
        violated = self.world.violated
        self._epochs[request.number] = self.epoch
        if not self.writes and self.world.life is not None and request.life == self.world.life.number:
            violated("I9", f"{self.verb} wrote to Salesforce")
        rows = self.world.tracked.latest([record for record, _, _ in request.writes])
        # on its way when its process died, and the box with it: only the bucket knows what had announced it
        lost = self.epoch > 0 and (self.world.life is None or request.life != self.world.life.number)
        for record, link, _ in request.writes:
            row = rows.get(record)
            request.intents[record] = row
            fits = row is not None and (
                (row.event == "intended" and row.new == link) or (row.event == "undo_intended" and row.old == link)
            )
            if row is not None and (row.number, record, row.event, row.old, row.new) not in self._kept:
                violated("I17", f"{record} is sent {short(link)}, and the bucket does not have {said(row)}")
            if not fits and not lost:
                violated("I3", f"{record} is sent {short(link)}, and the journal's last word is {said(row)}")
        mine = {self._account(record) for record, _, _ in request.writes}
        for other in self.world.org.under_way.values():
            if other is not request and other.is_write and other.life == request.life and not other.given_up:
                theirs = {self._account(record) for record, _, _ in other.writes}
                if both := (mine & theirs) - {""}:
                    violated("one-parent", f"two writes at once for {', '.join(sorted(both))}")

    def _changed(self, request: Request, entry: Entry, before: str, link: str) -> None:
        row: Row | None = request.intents.get(entry.id)
        self.moved.append((request.life, entry.id, link, self.world.timeline.now))
        if row is None:
            return
        undo = row.event == "undo_intended"
        life = self.world.life
        orphaned = life is None or life.dead or life.number != request.life
        sound = self.world.spoilt.get(key_of(link), -1.0) > request.sent
        if not undo and not sound and (why := bad_copy(self.world, link, row.old)):
            self.world.violated("I5", f"{entry.id} is moved to {short(link)}: {why}")
        expected = row.new if undo else row.old
        made = {change.value for change in entry.history if change.who in {"api", "flow"}}
        if undo and before == expected and before not in made:
            self.world.violated("I7", f"{entry.id} is put back, and {short(before)} was put there by a user alone")
        if before not in {expected, link}:
            self.overwritten.append(
                Overwritten(entry.id, entry.last.at, self.world.timeline.now, request.life, orphaned)
            )

    def _done(self, request: Request) -> None:
        """It was carried out just now: is what announced it still the journal's last word?"""
        if self._epochs.get(request.number) != self.epoch:
            return
        now = self.world.tracked.latest(list(request.intents))
        for record, row in request.intents.items():
            if row is not None and row.event in OPEN and now.get(record) != row:
                told = said(now.get(record))
                self.world.violated("I3-settled", f"{record} was still being written when the journal said {told}")

    def _stored(self, bucket: str, key: str, before: Held | None, after: Held | None) -> None:
        if bucket == VENDOR:
            self.world.violated("I8", f"{key} of the vendor was written")
        elif before is not None and (after is None or before.body != after.body) and before != self._ours.get(key):
            self.world.violated("I7-object", f"{key} was overwritten by other content")
        if bucket == OURS and after is not None:
            self._ours[key] = after
            if key.startswith(".engine/journal/") and key.endswith(".ndjson"):
                self._keep(after.body)

    def _keep(self, body: bytes) -> None:
        """A batch of the journal is there; of one that was cut short on its way, what came."""
        for line in body.splitlines()[1:]:
            with suppress(ValueError):
                row = orjson.loads(line)
                self._kept.add((row["id"], row["doclist_entry_id"], row["event"], row["old_url"], row["new_url"]))

    def _account(self, record: str) -> str:
        entry = self.world.org.entries.get(record)
        return entry.account if entry else ""

    # at the start and at the end of a process

    def begin(self) -> None:
        """What is in the journal now is nothing that the next process has said."""
        self.seen = self.world.tracked.rows
