"""A tracking DB as the original scripts left it, with every defect that is known of them, and the world it is about.

``Migrated`` lays records and objects out in a corner, and says what an import must make of each.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from engine.rehearsal.content import content_of
from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.old_scripts import OldRow, OldScripts, old_key, old_link
from engine.rehearsal.salesforce.world import make_id
from engine.rehearsal.side_door import Seeded
from tests.support.corner import Corner, Said, wait

_ids = itertools.count(7_000_000)


class Expected(NamedTuple):
    status: str
    failure: str | None = None


PROVED = Expected("backed_up")


@dataclass(slots=True)
class Migrated:
    """A corner in which the scripts have been at work."""

    corner: Corner
    scripts: OldScripts = field(init=False)
    expected: dict[str, Expected] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    rows: dict[str, OldRow] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scripts = OldScripts(self.corner.directory / "old.db")

    @property
    def file(self) -> Path:
        return self.scripts.path

    def copy(
        self,
        expect: Expected = PROVED,
        *,
        account: str = "Acme Ltd",
        name: str = "",
        size: int = 400,
        source: bytes | None = b"",
        ours: bytes | None = b"",
        etag: str | None = None,
        storage_class: str | None = None,
        noted: int = 0,
        holds: str = "original",
        row: dict[str, Any] | None = None,
        short_id: bool = False,
    ) -> str:
        """One record with its file, its copy and its row. ``name``: as it stands in the URL. ``b""``: the bytes that
        belong there; None: no object.
        ``holds``: ``original``, ``link``, ``deleted``, or another value."""
        corner, number = self.corner, next(_ids)
        record = make_id("a0X", number)
        if account not in self.accounts:
            self.accounts[account] = corner.account(account)
        account_id = self.accounts[account]
        path = f"{corner.tag}/{number}/{name or f'{number}.pdf'}"
        url = f"https://{VENDOR_BUCKET}.s3.us-west-2.amazonaws.com/{path}"
        content = content_of(path, size)
        if source is not None:
            theirs = Seeded(unquote(path), body=source or content, etag=etag)
            wait(corner.stage.objects.load(VENDOR_BUCKET, [theirs]))
        key = old_key(account_id, account, url)
        if ours is not None:
            copy = Seeded(key, body=ours or content, storage_class=storage_class)
            wait(corner.stage.objects.load(corner.bucket, [copy]))
        link = old_link(corner.bucket, key)
        held = {"original": url, "link": link, "deleted": url}.get(holds, holds)
        corner.records([{**corner.row(number, held), "Account__c": account_id}])
        if holds == "deleted":
            wait(corner.stage.org("delete", {"ids": [record]}))
        old = OldRow(
            id=record[:15] if short_id else record,
            url=url,
            key=key,
            link=link,
            account_id=account_id,
            account_name=account,
            size=len(ours or content) if ours is not None else size,
            sha256=hashlib.sha256(content).hexdigest(),
            moved=noted,
        )._replace(**(row or {}))
        self.scripts.add([old])
        self.rows[record] = old
        self.expected[record] = expect
        self.originals[record] = url
        return record


IMPORT = ("import-legacy", "--execute", "--json", "--no-progress")
SWITCHED = Expected("switched")
LATER = "2025-08-15T10:20:30.123456"


def adopt(old: Migrated, *words: str, code: int = 0, **env: str) -> Any:
    said = old.corner.engine(*IMPORT, str(old.file), "--timezone", "Europe/Berlin", *words, **env)
    assert said.code == code, said.everything
    return said.json


def look(old: Migrated, *words: str, **env: str) -> Said:
    return old.corner.engine("import-legacy", str(old.file), "--no-progress", *words, **env)


def became(old: Migrated) -> dict[str, Expected]:
    return {name: Expected(row["status"], row["failure_class"]) for name, row in old.corner.rows().items()}


def with_every_defect(old: Migrated) -> None:
    """One record, or more, of each kind."""
    _copies(old)
    _links(old)
    _odd_rows(old)


def _copies(old: Migrated) -> None:
    for _ in range(3):
        old.copy()
    old.copy(size=0)
    old.copy(account="Acme #5 & Co", name="a%20b.pdf")
    old.copy(account="Café+Söhne", name="x+y.docx_10")
    old.copy(name="scan.27%20(non-resident)")
    old.copy(short_id=True)
    old.copy(row={"size": None, "at": "yesterday", "sha256": None})
    # one key for two records: the last writer wins
    old.copy(Expected("pending", "key_conflict"), account="Twins Inc", name="same.pdf", ours=None, row={"size": 399})
    old.copy(account="Twins Inc", name="same.pdf")
    old.copy(Expected("pending", "copy_missing"), ours=None)
    old.copy(Expected("pending", "source_changed"), ours=b"half")
    old.copy(Expected("pending", "source_changed"), source=b"x" * 400)
    old.copy(Expected("pending", "source_missing"), source=None)
    old.copy(Expected("pending", "archived"), storage_class="GLACIER")
    old.copy(Expected("pending", "copy_missing"), row={"link": "https://other.s3.us-east-1.amazonaws.com/uploads/a"})
    old.copy(Expected("pending", "unproved"), etag="0123456789abcdef0123456789abcdef-3")


def _links(old: Migrated) -> None:
    old.copy(SWITCHED, noted=1, holds="link")
    old.copy(SWITCHED, noted=1, holds="link", account="Acme #5 & Co")
    old.copy(SWITCHED, noted=1, holds="link", ours=b"another file altogether")
    old.copy(SWITCHED, noted=1, holds="link", ours=None)
    old.copy(SWITCHED, noted=0, holds="link")
    old.copy(PROVED, noted=1)
    old.copy(Expected("pending", "drifted"), noted=1, holds="https://elsewhere.example/edited.pdf")
    old.copy(Expected("gone", "deleted"), noted=1, holds="deleted")
    # originals that are no way back
    ours = old_link(old.corner.bucket, "uploads/x")
    old.copy(Expected("skipped", "already_ours"), noted=1, row={"url": ours})
    old.copy(Expected("skipped", "no_url"), row={"url": ""})
    old.copy(Expected("failed", "bad_url"), row={"url": "https:///no-host.pdf"})
    old.copy(Expected("failed", "host_not_allowed"), noted=1, row={"url": "https://evil.example/a.pdf"})


def _odd_rows(old: Migrated) -> None:
    scripts = old.scripts
    scripts.run("backup")
    scripts.run("full_migration", "failed", dry_run=False)
    scripts.failed("a0X000000000000AAA")
    twice = old.copy(row={"url": "outdated"})
    good = old.rows[twice]._replace(id=twice[:15], url=old.originals[twice], updated=LATER)
    bad = [good._replace(id=name) for name in ("not-an-id", "a0X5g00000abcdeEAF")]
    scripts.add([good, *bad])
    no_text = old.copy()
    del old.expected[no_text]
    scripts.db.execute(
        "UPDATE file_migrations SET original_url = CAST(x'68e9' AS TEXT) WHERE doclist_entry_id = ?", (no_text,)
    )
    scripts.db.commit()
