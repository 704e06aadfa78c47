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
pinned       a tracking DB is used with the field and bucket that it follows, or not at all
refused      an untouched journal is never refused
===========  =========================================================================================================
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tests.simulation.bucket import OURS, VENDOR, Held
from tests.simulation.life import Ended
from tests.simulation.org import Entry, Request
from tests.simulation.world import SimWorld

_ROW_OF = {"ours": "switched", "edited": "pending", "gone": "gone"}
OPEN = {"intended", "undo_intended"}
MAY_END = {0, 3, 5, 130, 143}
DIFFERS = 6


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
    whole: bool = True
    """Nothing restricts it."""
    elsewhere: bool = False
    """The settings lead where the tracking DB does not belong: a refusal is wanted."""
    run: int | None = None
    """Which switch is undone; None: all of them."""
    epoch: int = 0
    """How often the box was lost or restored: what an earlier one announced, a later one need not know."""
    overwritten: list[Overwritten] = field(default_factory=list)
    moved: list[tuple[int, str, str, float]] = field(default_factory=list)
    """(process, record, link, when) of every change by the API."""
    _ours: dict[str, Held] = field(default_factory=dict)
    """What the engine itself has written: its own bad write it may replace."""
    _seen: int = 0
    """Rows of the journal that have been held against the world."""
    _epochs: dict[int, int] = field(default_factory=dict)

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
        elif before is not None and (after is None or before.body != after.body) and before != self._ours.get(key):
            self.world.violated("I7-object", f"{key} was overwritten by other content")
        if bucket == OURS and after is not None:
            self._ours[key] = after

    def _account(self, record: str) -> str:
        entry = self.world.org.entries.get(record)
        return entry.account if entry else ""

    # at the start and at the end of a process

    def begin(self) -> None:
        """What is in the journal now is nothing that the next process has said."""
        with suppress(sqlite3.Error), closing(peek(self.world)) as db:
            self._seen = db.execute("SELECT coalesce(max(id), 0) FROM url_changes").fetchone()[0]

    def ended(self, ended: Ended, number: int, begun: float) -> None:
        """Hold a process to its words."""
        violated = self.world.violated
        if ended.how == "broke":
            violated("crash", f"{self.verb}: {type(ended.error).__name__}: {ended.error}")
        elif ended.how == "stuck":
            violated("stuck", f"{self.verb}: {ended.error}")
        elif ended.how == "refused" and ended.code not in MAY_END and not self.epoch and not self.elsewhere:
            violated("refused", f"{self.verb} ended with {ended.code}: {ended.error}")
        if ended.how in {"reported", "refused"} and self.verb in {"switch", "rollback"} and self.writes:
            self._truth(number, begun)
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

    def _truth(self, number: int, begun: float) -> None:
        """What this process has written down of a link that nobody else has touched meanwhile is so; and the record's
        row follows it."""
        mine = {record for life, record, _, _ in self.moved if life == number}
        rows, states = latest(self.world, sorted(self.world.org.entries)), self._states()
        for record, row in rows.items():
            entry = self.world.org.entries[record]
            own = entry.last.who == "api" and record in mine
            if row.number <= self._seen or row.event in OPEN or not (own or entry.last.at < begun):
                continue
            stands = {row.new: "ours", row.old: "original"}.get(entry.url, "edited") if entry.seen else "gone"
            if row.detail.startswith("not sent") and not self.world.hostile.unread:
                continue
            if row.stands != stands:
                self.world.violated("truth", f"{record} is {stands}; the journal has {said(row)}, {row.detail}")
            elif (wanted := _ROW_OF.get(stands)) and states.get(record) not in {None, wanted} and entry.url:
                self.world.violated("truth", f"{record} is {stands}, its row {states[record]}")

    def _states(self) -> dict[str, str]:
        with suppress(sqlite3.OperationalError), closing(peek(self.world)) as db:
            return dict(db.execute("SELECT doclist_entry_id, status FROM file_migrations"))
        return {}

    def _undone(self, run: int | None) -> None:
        """A rollback ended with 0: of what it was about, nothing that we wrote is ours any more."""
        with closing(peek(self.world)) as db:
            pairs = db.execute(
                "SELECT doclist_entry_id, new_url FROM url_changes c WHERE event = 'intended'"
                " AND (?1 IS NULL OR run_id = ?1)"
                " AND NOT EXISTS (SELECT 1 FROM url_changes d WHERE d.doclist_entry_id = c.doclist_entry_id"
                " AND d.event = 'intended' AND d.id > c.id)",
                (run,),
            ).fetchall()
        for record, new in pairs:
            entry = self.world.org.entries[record]
            if entry.seen and entry.last.who == "api" and entry.url == new:
                self.world.violated("I18", f"{record} holds our link after a rollback with exit 0")

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
        if bad := {name: records[name] for name in ("failed", "missing", "stale") if records[name]}:
            violated("I18", f"exit 0 with {bad}")
        counted = sum(records.values()) - records["planned"] - records["open"]
        if self.whole and counted != records["planned"]:
            violated("I18", f"{counted} of {records['planned']} planned links are accounted for")
        rows = latest(self.world, sorted(self.world.org.entries))
        if doubtful := [record for record, row in rows.items() if row.event in OPEN]:
            violated("I18", f"exit 0, and the journal does not know of {', '.join(doubtful)}")
        if self.verb == "rollback" and self.whole:
            self._undone(self.run)
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

    def quiet(self, *, undone: bool) -> None:
        """Nothing is under way any more. ``undone``: the last command was a rollback of all."""
        pairs = self._pairs()
        for entry in self.world.org.entries.values():
            if undone and self.world.hostile.put_backs and any(entry.url == new for _, new in pairs.get(entry.id, ())):
                self.world.violated("quiet", f"{entry.id} holds a link of ours, {short(entry.url)}, after a rollback")
            if entry.seen and entry.last.who in {"api", "flow"} and (why := self._astray(entry, pairs)):
                self.world.violated("quiet", f"{entry.id} holds {short(entry.url)}: {why}")

    def _pairs(self) -> dict[str, set[tuple[str, str]]]:
        found: dict[str, set[tuple[str, str]]] = {}
        with suppress(sqlite3.OperationalError), closing(peek(self.world)) as db:
            for record, old, new in db.execute("SELECT DISTINCT doclist_entry_id, old_url, new_url FROM url_changes"):
                found.setdefault(record, set()).add((old, new))
        return found

    def _astray(self, entry: Entry, pairs: dict[str, set[tuple[str, str]]]) -> str:
        """What is wrong with a link whose last change was ours, or made of ours; empty: nothing."""
        human = [change.value for change in entry.history if change.who in {"load", "user"}][-1]
        for old, new in pairs.get(entry.id, ()):
            if entry.url == new:
                spoilt = key_of(new) in self.world.spoilt  # by others: a verification tells, and nobody can mend it
                return "" if spoilt else bad_copy(self.world, entry, new, old)
            if entry.url == old:
                overwritten = any(change.value == old for change in entry.history[:-1] if change.who != "api")
                return "" if overwritten or human == old else "nobody has ever put that there but us"
        if entry.last.who == "flow":
            return "automation made it of our link, and nobody has put it right"
        return "no row of the journal names it"

    def all_have_rows(self) -> None:
        """An interrupted first scan was taken up: no record was forgotten."""
        known = self._states()
        for entry in self.world.org.entries.values():
            if entry.seen and entry.id not in known:
                self.world.violated("rows", f"{entry.id} has no row after a scan was taken up")

    def rows(self, *, drifted: bool = False) -> None:
        """The reference model: what a row must say after a clean backup, and nothing else. ``drifted``: rows of edited
        records may also wait for the next one."""
        rows: dict[str, sqlite3.Row] = {}
        with suppress(sqlite3.OperationalError), closing(peek(self.world)) as db:
            db.row_factory = sqlite3.Row
            rows = {row["doclist_entry_id"]: row for row in db.execute("SELECT * FROM file_migrations")}
        for entry in self.world.org.entries.values():
            row = rows.get(entry.id)
            if row is None:
                if entry.seen:
                    self.world.violated("rows", f"{entry.id} has no row")
                continue
            if drifted and (row["status"], row["failure_class"]) == ("pending", "drifted"):
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
    if row["status"] == "rolled_back" and row["verified_at"] is None and not world.hostile.condemned:
        return set()
    key = key_of(entry.url)
    host = urlsplit(entry.url).hostname or ""
    if host.startswith(f"{VENDOR}.") and key in world.store.objects[VENDOR]:
        held = world.store.objects[OURS].get(row["your_s3_key"] or "")
        if held is None or held.body != world.store.objects[VENDOR][key].body:
            return {"failed"}  # a backup that ended well has copied it
        return {"backed_up", "rolled_back"}
    return {"failed", "skipped"}


def bad_copy(world: SimWorld, entry: Entry, link: str, old: str) -> str:
    """Why a record's file cannot be opened under our link; empty: it can."""
    held = world.store.objects[OURS].get(key_of(link))
    if held is None:
        return "there is no object"
    if held.archived:
        return f"its object lies in {held.storage_class}"
    source = world.store.objects[VENDOR].get(key_of(old))
    if source is not None and source.body != held.body:
        return "its object holds another file's content"
    return ""


def key_of(link: str) -> str:
    return unquote(urlsplit(link).path.lstrip("/"))


def latest(world: SimWorld, records: list[str]) -> dict[str, Row]:
    """The journal's last word on each, as the disk has it."""
    found: dict[str, Row] = {}
    with suppress(sqlite3.OperationalError), closing(peek(world)) as db:  # there may be none yet, or none any more
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
