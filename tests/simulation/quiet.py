"""When all is quiet: the links, and the reference model of the tracking DB's rows."""

from __future__ import annotations

import sqlite3
from urllib.parse import urlsplit

from tests.simulation.bucket import OURS, VENDOR
from tests.simulation.links import bad_copy, key_of
from tests.simulation.records import Entry
from tests.simulation.tracked import short
from tests.simulation.world import SimWorld


def quiet(world: SimWorld, *, undone: bool) -> None:
    """Nothing is under way any more. ``undone``: the last command was a rollback of all."""
    pairs = world.tracked.pairs()
    if world.store.uploads:
        keys = ", ".join(upload.key for upload in world.store.uploads.values())
        world.violated("I13", f"an upload is still open: {keys}")
    for entry in world.org.entries.values():
        if undone and entry.seen and any(entry.url == new for _, new in pairs.get(entry.id, ())):
            world.violated("quiet", f"{entry.id} holds a link of ours, {short(entry.url)}, after a rollback")
        if entry.seen and entry.last.who in {"api", "flow"} and (why := _astray(world, entry, pairs)):
            world.violated("quiet", f"{entry.id} holds {short(entry.url)}: {why}")


def _astray(world: SimWorld, entry: Entry, pairs: dict[str, set[tuple[str, str]]]) -> str:
    """What is wrong with a link whose last change was ours, or made of ours; empty: nothing."""
    human = [change.value for change in entry.history if change.who in {"load", "user"}][-1]
    for old, new in pairs.get(entry.id, ()):
        if entry.url == new:
            if entry.last.who == "flow":
                return ""  # a row of the journal names it, and a rollback undoes it
            spoilt = key_of(new) in world.spoilt  # by others: a verification tells, and nobody can mend it
            return "" if spoilt else bad_copy(world, new, old)
        if entry.url == old:
            overwritten = any(change.value == old for change in entry.history[:-1] if change.who != "api")
            return "" if overwritten or human == old else "nobody has ever put that there but us"
    if entry.last.who == "flow":
        if entry.last.request not in world.org.heard:
            return ""  # nobody can tell it from an edit
        return "automation made it of our link, and nobody has put it right"
    return "no row of the journal names it"


def all_have_rows(world: SimWorld) -> None:
    """An interrupted first scan was taken up: no record was forgotten."""
    known = world.tracked.statuses()
    for entry in world.org.entries.values():
        if entry.seen and entry.id not in known:
            world.violated("rows", f"{entry.id} has no row after a scan was taken up")


def rows(world: SimWorld, *, waiting: bool = False) -> None:
    """The reference model: what a row must say after a clean backup, and nothing else. ``waiting``: rows that a
    rollback has left to the next one may still be pending."""
    found = {row["doclist_entry_id"]: row for row in world.tracked.ask("SELECT * FROM file_migrations")}
    pairs = world.tracked.pairs()
    for entry in world.org.entries.values():
        row = found.get(entry.id)
        if row is None:
            if entry.seen:
                world.violated("rows", f"{entry.id} has no row")
            continue
        if any(row["original_url"] == new != old for old, new in pairs.get(entry.id, ())):
            world.violated("rows", f"the original of {entry.id} is {short(row['original_url'])}, a value of ours")
        if waiting and row["status"] == "pending" and row["failure_class"] in {"drifted", "copy_missing"}:
            continue
        if (wanted := model(world, entry, row)) and row["status"] not in wanted:
            state = f"{row['status']}/{row['failure_class'] or ''}"
            told = f"{entry.id} holds {short(entry.url)} and its row says {state}"
            world.violated("rows", f"{told}, not {' or '.join(sorted(wanted))}")


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
    key = key_of(entry.url)
    host = urlsplit(entry.url).hostname or ""
    if host.startswith(f"{VENDOR}.") and key in world.store.objects[VENDOR]:
        held = world.store.objects[OURS].get(row["your_s3_key"] or "")
        if held is None or held.body != world.store.objects[VENDOR][key].body:
            stem, may = key.rpartition("/")[2].removesuffix(".pdf"), set[str]()
            odd = world.spoilt.keys() | (world.store.bad_keys if world.forgetful else set())
            if world.squatted or any(each.rpartition("/")[2].startswith(stem) for each in odd):
                may.add("failed")
            bad = any(each.rpartition("/")[2].startswith(stem) for each in world.store.bad_keys)
            if row["proof"] == "size" and bad:
                may |= {"backed_up", "rolled_back"}  # nobody could tell: only a deep verification does
            if key in world.versions and (world.restored or row["your_s3_key"] is None):
                may.add("failed")  # a DB that was lost, or a run that was killed, has forgotten its own older copy
            if held is not None and held.body in world.versions.get(key, ()):
                may.add("rolled_back")  # what the source held then; the next full backup sees that it has changed
            return may or {"copied again"}  # as a backup that ended well has done
        if held.archived:
            return {"failed", "backed_up", "rolled_back"}  # whoever has tried to open it says failed
        return {"backed_up", "rolled_back"}
    return {"failed", "skipped"}
