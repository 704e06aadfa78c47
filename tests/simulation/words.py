"""At the end of a process: it is held to its words."""

from __future__ import annotations

from typing import Any

from tests.simulation.incidents import Ended
from tests.simulation.oracles import Watch
from tests.simulation.tracked import OPEN, said, short

ROW_OF = {"ours": "switched", "edited": "pending", "gone": "gone"}
MAY_END = {0, 3, 5, 130, 143}
BAD_DISK = {1, 4}
BAD_LOGIN = {4}
DIFFERS = 6


def hold(watch: Watch, ended: Ended, number: int, begun: float) -> None:
    """Hold a process to its words."""
    Words(watch, number, begun).hold(ended)


class Words:
    """What process ``number``, which began at ``begun``, has said."""

    def __init__(self, watch: Watch, number: int, begun: float) -> None:
        self.watch = watch
        self.world = watch.world
        self.number = number
        self.begun = begun

    def hold(self, ended: Ended) -> None:
        violated, watch = self.world.violated, self.watch
        if ended.how == "broke":
            violated("crash", f"{watch.verb}: {type(ended.error).__name__}: {ended.error}")
        elif ended.how == "stuck":
            violated("stuck", f"{watch.verb}: {ended.error}")
        elif ended.how == "refused" and ended.code not in self._may_end() and not watch.epoch and not watch.elsewhere:
            violated("refused", f"{watch.verb} ended with {ended.code}: {ended.error}")
        if watch.verb == "switch" and watch.writes and not watch.elsewhere:
            self._way_back()
        if watch.verb == "backup" and (ended.how, ended.code) in {("reported", 0), ("reported", 3)} and watch.whole:
            self._up_to_date()
        if ended.how in {"reported", "refused"} and watch.verb in {"switch", "rollback"} and watch.writes:
            self._truth()
        report = ended.report.as_json() if ended.how == "reported" else {}
        if ended.how == "reported" and watch.verb in {"switch", "rollback"}:
            self._windows(report["unseen_ms"] / 1000)
            self._rewritten(report["records"].get("rewritten", 0))
            changed = [entry for entry in self.world.org.entries.values() if entry.last.who == "flow"]
            changed = [entry for entry in changed if self.world.org.heard.get(entry.last.request) == self.number]
            if ended.code == 0 and changed:
                violated("I18-flow", f"exit 0, and the org has changed {len(changed)} of the links that were written")
            if ended.code == 0 and not report["dry_run"]:
                self._words(report)

    def _way_back(self) -> None:
        """Whatever is announced in the journal by the latest switch stands in its rollback file."""
        intended = self.world.tracked.ask(
            "SELECT doclist_entry_id, old_url, run_id FROM url_changes WHERE event = 'intended'"
            " AND run_id = (SELECT max(id) FROM migration_runs WHERE run_type = 'switch') AND id > ?",
            (self.watch.seen,),
        )
        if intended:
            files = self.world.box.glob(f"*.rollback-{intended[0][2]}*.ndjson")
            text = b"".join(file.read_bytes() for file in files).decode(errors="replace")
            for record, old, run in intended:
                if f'"id":"{record}","old":"{old}"' not in text:
                    self.world.violated("way-back", f"the rollback file of run {run} does not know {record}")

    def _up_to_date(self) -> None:
        """A backup that ended well has seen every edit that was made before it began."""
        urls = self.world.tracked.ask(
            "SELECT doclist_entry_id, original_url, your_s3_url, status FROM file_migrations"
            " WHERE failure_class IS NOT 'rejected'"
        )
        for record, original, ours, status in urls:
            entry = self.world.org.entries[record]
            if entry.last.at >= self.begun or not entry.seen or entry.url in {original or "", ours}:
                continue
            if entry.last.who == "flow" and self.watch.epoch:
                continue  # known from an earlier journal, and planned as what it has replaced
            self.world.violated("rows", f"{record} holds {short(entry.url)}, its row {short(original or '')}, {status}")

    def _may_end(self) -> set[int]:
        if self.watch.bad_disk or not self.world.database.exists():  # only a full backup begins a DB
            return MAY_END | BAD_DISK
        return MAY_END | BAD_LOGIN if self.watch.bad_login else MAY_END

    def _rewritten(self, told: int) -> None:
        """What automation is said to have changed was changed by it, and by no user."""
        entries = self.world.org.entries
        changed = {
            record
            for life, record, _, at in self.watch.moved
            if life == self.number and any(each.at >= at and each.who == "flow" for each in entries[record].history)
        }
        if told > len(changed):
            self.world.violated("I18", f"the org is said to have changed {told} links; it changed {len(changed)}")

    def _truth(self) -> None:
        """What this process has written down of a link that nobody else has touched meanwhile is so; and the record's
        row follows it."""
        mine = {record for life, record, _, _ in self.watch.moved if life == self.number}
        rows, states = self.world.tracked.latest(sorted(self.world.org.entries)), self.world.tracked.statuses()
        for record, row in rows.items():
            entry = self.world.org.entries[record]
            own = entry.last.who == "api" and record in mine
            if row.number <= self.watch.seen or row.event in OPEN or not (own or entry.last.at < self.begun):
                continue
            stands = {row.new: "ours", row.old: "original"}.get(entry.url, "edited") if entry.seen else "gone"
            if row.detail.startswith("not sent"):  # nor read: it tells what was last known
                continue
            if row.stands != stands:
                self.world.violated("truth", f"{record} is {stands}; the journal has {said(row)}, {row.detail}")
            elif self._follows(record, stands) and states.get(record) not in {None, ROW_OF[stands]} and entry.url:
                self.world.violated("truth", f"{record} is {stands}, its row {states[record]}")

    def _follows(self, record: str, stands: str) -> bool:
        """Whether the row says just this; where a link of another switch is back, or what automation made of one, the
        model of all rows knows more."""
        entry, pairs = self.world.org.entries[record], self.world.tracked.pairs()[record]
        made = any(change.who == "flow" and change.value == entry.url for change in entry.history)
        return stands in ROW_OF and not made and (stands != "edited" or all(entry.url != new for _, new in pairs))

    def _undone(self, run: int | None) -> None:
        """A rollback ended with 0: of what it was about, nothing that we wrote is ours any more."""
        pairs = self.world.tracked.ask(
            "SELECT doclist_entry_id, new_url FROM url_changes c WHERE event = 'intended'"
            " AND (?1 IS NULL OR run_id = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM url_changes d WHERE d.doclist_entry_id = c.doclist_entry_id"
            " AND d.event = 'intended' AND d.new_url = c.new_url AND d.id > c.id)",
            (run,),
        )
        for record, new in pairs:
            entry = self.world.org.entries[record]
            if entry.seen and entry.last.who == "api" and entry.url == new:
                self.world.violated("I18", f"{record} holds our link after a rollback with exit 0")

    def _windows(self, window_s: float) -> None:
        for each in self.watch.overwritten:
            gap = each.written - each.edited
            if each.life == self.number and not each.orphaned and gap > window_s + 0.002:
                self.world.violated(
                    "I7", f"an edit of {each.record}, {gap:.3f} s old, was overwritten; the report owns to {window_s} s"
                )
        self.watch.overwritten = [each for each in self.watch.overwritten if each.life != self.number]

    def _words(self, report: dict[str, Any]) -> None:
        """Exit 0: as many links moved as it says, and none of them in doubt."""
        records, violated = report["records"], self.world.violated
        bad_ones = ["failed", "missing", "rewritten", *(["stale"] if self.watch.verb == "switch" else [])]
        if bad := {name: records[name] for name in bad_ones if records[name]}:
            violated("I18", f"exit 0 with {bad}")
        counted = sum(records.values()) - records["planned"] - records["open"]
        if self.watch.whole and counted != records["planned"]:
            violated("I18", f"{counted} of {records['planned']} planned links are accounted for")
        rows = self.world.tracked.latest(sorted(self.world.org.entries))
        if doubtful := [record for record, row in rows.items() if row.event in OPEN]:
            violated("I18", f"exit 0, and the journal does not know of {', '.join(doubtful)}")
        if self.watch.verb == "rollback" and self.watch.whole:
            self._undone(self.watch.run)
        if records["open"]:
            violated("I18", f"exit 0 with {records['open']} links in doubt")
        mine = {record for life, record, _, _ in self.watch.moved if life == self.number}
        told = records["switched" if self.watch.verb == "switch" else "restored"]
        touched = {record for record in mine if self.world.org.entries[record].last.who != "api"}
        # a link whose answer was lost, and which was then found moved, is told as "already so"
        # whoever puts the same value there within our round trip leaves nothing for us to change
        same = {record for record, entry in self.world.org.entries.items() if entry.last.who == "user"}
        if not told <= len(mine | same) or len(mine - touched) > told + records["already"]:
            violated(
                "I18",
                f"{self.watch.verb} tells of {told} links moved; it moved {len(mine)}, {len(touched)} touched since",
            )
