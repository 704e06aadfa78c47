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
from tests.support.corner import Corner, wait

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
        self.expected[record] = expect
        self.originals[record] = url
        return record
