"""What must hold after every step, at the end of every process, and when all is quiet.

===========  =========================================================================================================
I3           a link is written only behind a durable row of the journal that announces just this
I3-settled   while the org is still at it, no row of the journal says how it ended
I4           only a record that holds ours gets its original back, and no other
I5           no link is moved to an object that is not there, or does not hold the file's content
I7           what somebody has edited is not overwritten, save within the time that the report owns up to
I7-object    no object of ours is overwritten by other content
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
refused      an untouched journal is never refused
===========  =========================================================================================================
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tests.simulation.bucket import OURS, VENDOR, Held
from tests.simulation.life import Ended
from tests.simulation.org import Entry, Request
from tests.simulation.world import SimWorld

OPEN = {"intended", "undo_intended"}
MAY_END = {0, 3, 5, 130, 143}


class Row(NamedTuple):
    """The journal's latest word on a record."""

    number: int
    event: str
    old: str
    new: str
    detail: str
    stands: str
    """Where it says that the link stands; empty: it does not know."""


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
    epoch: int = 0
    """How often the box was lost or restored: what an earlier one announced, a later one need not know."""
    overwritten: list[Overwritten] = field(default_factory=list)
    moved: list[tuple[int, str, str, float]] = field(default_factory=list)
    """(process, record, link, when) of every change by the API."""
    _epochs: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        org = self.world.org
        org.on_arrival, org.on_change, org.on_done = self._arrived, self._changed, self._done
        self.world.store.on_write = self._stored

    # after every step

    def _arrived(self, request: Request) -> None:
        violated = self.world.violated
        self._epochs[request.number] = self.epoch
        if not self.writes:
            violated("I9", f"{self.verb} wrote to Salesforce")
        rows = latest(self.world, [record for record, _, _ in request.writes])
        for record, link, _ in request.writes:
            row = rows.get(record)
            request.intents[record] = row
            fits = row is not None and (
                (row.event == "intended" and row.new == link) or (row.event == "undo_intended" and row.old == link)
            )
            if not fits:
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
        if not undo and (why := bad_copy(self.world, entry, link, row.old)):
            self.world.violated("I5", f"{entry.id} is moved to {short(link)}: {why}")
        expected = row.new if undo else row.old
        if before not in {expected, link}:
            life = self.world.life
            orphaned = life is None or life.dead or life.number != request.life
            self.overwritten.append(
                Overwritten(entry.id, entry.last.at, self.world.timeline.now, request.life, orphaned)
            )

    def _done(self, request: Request) -> None:
        """It was carried out just now: is what announced it still the journal's last word?"""
        if self._epochs.get(request.number) != self.epoch:
            return
        now = latest(self.world, list(request.intents))
        for record, row in request.intents.items():
            if row is not None and row.event in OPEN and now.get(record) != row:
                told = said(now.get(record))
                self.world.violated("I3-settled", f"{record} was still being written when the journal said {told}")

    def _stored(self, bucket: str, key: str, before: Held | None, after: Held | None) -> None:
        if bucket == VENDOR:
            self.world.violated("I8", f"{key} of the vendor was written")
        elif before is not None and (after is None or before.body != after.body):
            self.world.violated("I7-object", f"{key} was overwritten by other content")

    def _account(self, record: str) -> str:
        entry = self.world.org.entries.get(record)
        return entry.account if entry else ""

    # at the end of a process

    def ended(self, ended: Ended, number: int, begun: float) -> None:
        """Hold a process to its words."""
        violated = self.world.violated
        if ended.how == "broke":
            violated("crash", f"{self.verb}: {type(ended.error).__name__}: {ended.error}")
        elif ended.how == "stuck":
            violated("stuck", f"{self.verb}: {ended.error}")
        elif ended.how == "refused" and ended.code not in MAY_END and not self.epoch:
            violated("refused", f"{self.verb} ended with {ended.code}: {ended.error}")
        if ended.how in {"reported", "refused"}:
            self._truth(number)
        report = ended.report.as_json() if ended.how == "reported" else {}
        if ended.how == "reported" and self.verb in {"switch", "rollback"}:
            self._windows(number, report["unseen_ms"] / 1000)
            changed = [entry for entry in self.world.org.entries.values() if entry.last.who == "flow"]
            if ended.code == 0 and any(self._by(number, entry) for entry in changed):
                violated("I18-flow", f"exit 0, and the org has changed {len(changed)} of the links that were written")
            if ended.code == 0 and not report["dry_run"]:
                self._words(number, report, begun)

    def _by(self, number: int, entry: Entry) -> bool:
        return any(life == number and record == entry.id for life, record, _, _ in self.moved)

    def _truth(self, number: int) -> None:
        """Of what this process wrote and nobody has touched since, the journal says where it stands, or that it does
        not know."""
        mine = sorted({record for life, record, _, _ in self.moved if life == number})
        rows = latest(self.world, mine)
        for record in mine:
            entry, row = self.world.org.entries[record], rows.get(record)
            if row is None or row.event in OPEN or entry.last.who != "api":
                continue
            stands = {row.new: "ours", row.old: "original"}.get(entry.url, "edited")
            if row.stands != stands:
                self.world.violated("truth", f"{record} is {stands}; the journal has {said(row)}, {row.detail}")

    def _windows(self, number: int, window_s: float) -> None:
        for each in self.overwritten:
            gap = each.written - each.edited
            if each.life == number and not each.orphaned and gap > window_s + 0.002:
                self.world.violated(
                    "I7", f"an edit of {each.record}, {gap:.3f} s old, was overwritten; the report owns to {window_s} s"
                )
        self.overwritten = [each for each in self.overwritten if each.life != number]

    def _words(self, number: int, report: dict[str, Any], begun: float) -> None:
        """Exit 0: as many links moved as it says, and none of them in doubt."""
        records, violated = report["records"], self.world.violated
        if records["open"]:
            violated("I18", f"exit 0 with {records['open']} links in doubt")
        mine = {record for life, record, _, _ in self.moved if life == number}
        told = records["switched" if self.verb == "switch" else "restored"]
        touched = {record for record in mine if self.world.org.entries[record].last.who != "api"}
        # a link whose answer was lost, and which was then found moved, is told as "already so"
        if not told <= len(mine) or len(mine - touched) > told + records["already"]:
            violated(
                "I18", f"{self.verb} tells of {told} links moved; it moved {len(mine)}, {len(touched)} touched since"
            )

    # when all is quiet

    def quiet(self) -> None:
        """Nothing is under way any more."""
        pairs = self._pairs()
        for entry in self.world.org.entries.values():
            if entry.seen and entry.last.who in {"api", "flow"} and (why := self._astray(entry, pairs)):
                self.world.violated("quiet", f"{entry.id} holds {short(entry.url)}: {why}")

    def _pairs(self) -> dict[str, set[tuple[str, str]]]:
        found: dict[str, set[tuple[str, str]]] = {}
        with closing(peek(self.world)) as db:
            for record, old, new in db.execute("SELECT DISTINCT doclist_entry_id, old_url, new_url FROM url_changes"):
                found.setdefault(record, set()).add((old, new))
        return found

    def _astray(self, entry: Entry, pairs: dict[str, set[tuple[str, str]]]) -> str:
        """What is wrong with a link whose last change was ours, or made of ours; empty: nothing."""
        human = [change.value for change in entry.history if change.who in {"load", "user"}][-1]
        for old, new in pairs.get(entry.id, ()):
            if entry.url == new:
                return bad_copy(self.world, entry, new, old)
            if entry.url == old:
                overwritten = any(change.value == old for change in entry.history[:-1] if change.who != "api")
                return "" if overwritten or human == old else "nobody has ever put that there but us"
        if entry.last.who == "flow":
            return "automation made it of our link, and nobody has put it right"
        return "no row of the journal names it"

    def rolled_back(self) -> None:
        """A rollback of everything ended with 0: nothing that we wrote is ours any more."""
        pairs = self._pairs()
        for entry in self.world.org.entries.values():
            if entry.seen and entry.last.who == "api" and any(entry.url == new for _, new in pairs.get(entry.id, ())):
                self.world.violated("I18", f"{entry.id} holds our link after a rollback of all, exit 0")

    def rows(self) -> None:
        """The reference model: what a row must say after a clean backup, and nothing else."""
        with closing(peek(self.world)) as db:
            db.row_factory = sqlite3.Row
            rows = {row["doclist_entry_id"]: row for row in db.execute("SELECT * FROM file_migrations")}
        for entry in self.world.org.entries.values():
            row = rows.get(entry.id)
            if row is None:
                if entry.seen:
                    self.world.violated("rows", f"{entry.id} has no row")
                continue
            if (wanted := model(self.world, entry, row)) and row["status"] not in wanted:
                state = f"{row['status']}/{row['failure_class'] or ''}"
                told = f"{entry.id} holds {short(entry.url)} and its row says {state}"
                self.world.violated("rows", f"{told}, not {' or '.join(sorted(wanted))}")


def model(world: SimWorld, entry: Entry, row: sqlite3.Row) -> set[str]:
    """The states that a row may have; empty: the model says nothing."""
    if not entry.seen:
        return {"gone"}
    if not entry.url:
        return {"skipped", "failed"}
    if row["your_s3_url"] and entry.url == row["your_s3_url"]:
        return {"switched"}
    if row["status"] == "failed" and row["failure_class"] == "rejected":
        return set()  # the org's own rule, which a person has to see to
    key = unquote(urlsplit(entry.url).path.lstrip("/"))
    host = urlsplit(entry.url).hostname or ""
    if host.startswith(f"{VENDOR}.") and key in world.store.objects[VENDOR]:
        held = world.store.objects[OURS].get(row["your_s3_key"] or "")
        if held is None or held.body != world.store.objects[VENDOR][key].body:
            return {"failed"}  # a backup that ended well has copied it
        return {"backed_up", "rolled_back"}
    return {"failed", "skipped"}


def bad_copy(world: SimWorld, entry: Entry, link: str, old: str) -> str:
    """Why a record's file cannot be opened under our link; empty: it can."""
    key = unquote(urlsplit(link).path.lstrip("/"))
    held = world.store.objects[OURS].get(key)
    if held is None:
        return "there is no object"
    if held.archived:
        return f"its object lies in {held.storage_class}"
    source = world.store.objects[VENDOR].get(unquote(urlsplit(old).path.lstrip("/")))
    if source is not None and source.body != held.body:
        return "its object holds another file's content"
    return ""


def latest(world: SimWorld, records: list[str]) -> dict[str, Row]:
    """The journal's last word on each, as the disk has it."""
    found = {}
    with closing(peek(world)) as db:
        for record in records:
            row = db.execute(
                "SELECT id, event, old_url, new_url, detail, coalesce(link_state, '') FROM url_changes"
                " WHERE doclist_entry_id = ? ORDER BY id DESC LIMIT 1",
                (record,),
            ).fetchone()
            if row is not None:
                found[record] = Row(*row)
    return found


def peek(world: SimWorld) -> sqlite3.Connection:
    """The tracking DB, as another process sees it."""
    return sqlite3.connect(f"file:{world.database}?mode=ro", uri=True)


def said(row: Row | None) -> str:
    return "nothing" if row is None else f"row {row.number}, {row.event} {short(row.old)} → {short(row.new)}"


def short(link: str) -> str:
    return link.rpartition("amazonaws.com/")[2] if "amazonaws.com" in link else link or "nothing"
