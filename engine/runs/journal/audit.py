"""``engine audit``: is the journal whole, and what does it say? Reads only.

The journal is held against its head beside the DB and, where the network lets it, the one in the destination bucket;
whether it was compared with that one, and if not why, is part of the answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.limiting.clock import Clock, SystemClock
from engine.model.errors import Blocked, Differs, EngineError, Usage
from engine.model.ids import to18
from engine.model.text import bare_urls, printable
from engine.runs.journal.tips import Witness, passed_over, remote_head
from engine.runs.shared import tables
from engine.runs.shared.assembly import open_adapters
from engine.runs.shared.command import to_type
from engine.settings import Settings
from engine.tracking.db import chain
from engine.tracking.db.chain import Key
from engine.tracking.read.history import open_history
from engine.tracking.read.links import Foreign

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 200
PATIENCE_S = 10.0
"""For the bucket; whoever is offline does not wait longer."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Whose history is asked for; None: an overview. ``bucket``: look at the bucket's head; None: if it answers."""

    record: str | None = None
    account: str | None = None
    run: int | None = None
    limit: int | None = None
    bucket: bool | None = None


async def audit(settings: Settings, options: AuditOptions, clock: Clock | None = None) -> dict[str, Any]:
    """Check the chain and tell the history. ``exit_code`` 6 where the chain is broken, or records' rows bring links of
    their own; 4 where ``bucket`` was asked
    for and could not be looked at. Raises Blocked, Usage."""
    record, account = _id(options.record, "--record"), _id(options.account, "--account")
    verdict = await _verdict(settings, options.bucket, clock or SystemClock())
    with open_history(settings.tracking.database) as history:
        strange = history.foreign_links(settings.destination.link_template)
        document: dict[str, Any] = {
            "database": str(settings.tracking.database),
            "rows": history.rows(),
            **verdict,
            "foreign_links": {"count": strange.count, "examples": strange.examples},
        }
        if strange.count:
            document["exit_code"] = Differs.exit_code
        if record or account or options.run is not None:
            steps = history.steps(record=record, account=account, run=options.run, limit=options.limit or SHOWN)
            document["history"] = [_shown(step) for step in steps]
        else:
            document["runs"] = history.runs()
    return document


def show_audit(document: dict[str, Any], console: Console) -> None:
    """The same for a person."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    def line(text: str) -> None:
        tables.line(console, text)

    if document["whole"]:
        if document["rows"]:
            line(f"The journal is whole: {document['rows']:,} rows, each sealed; last seal {document['head'][:16]}")
        else:
            line("The journal is empty: there is no seal yet")
        if document["in_doubt"]:
            line(f"{document['in_doubt']:,} links are in doubt; the next switch, rollback or backup reads them first")
    else:
        line(f"NOT WHOLE: {document['problem']}")
        line(f"  {document['hint']}")
    if document["foreign_links"]["count"]:
        line(f"NOT AS PROVED: {Foreign(**document['foreign_links'])}")
    bucket = document["bucket"]
    if bucket["compared"]:
        line(f"The bucket's head of row {bucket['rows']:,} was compared too")
    elif bucket["why"]:
        line(f"Not compared with the head in the bucket: {bucket['why']}")
    if bucket["passed_over"]:
        line(passed_over(bucket["passed_over"], bucket["examples"]))
    heads: tuple[str, ...]
    names: tuple[str, ...]
    if "history" in document:
        heads = ("row", "run", "wave", "when, UTC", "record", "event", "detail", "old link", "new link")
        names = ("id", "run_id", "wave", "at", "record", "event", "detail", "old_url", "new_url")
        rows = document["history"]
    else:
        heads = ("run", "wave", "event", "steps", "first", "last")
        names = ("run_id", "wave", "event", "steps", "first", "last")
        rows = document["runs"]
    if not rows:
        line("No link was ever changed." if "runs" in document else "The journal knows nothing of that.")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(row[name]))) for name in names))
    console.print(table)


async def _verdict(settings: Settings, bucket: bool | None, clock: Clock) -> dict[str, Any]:
    """Heads are read before the journal: a run that goes on meanwhile writes them behind their rows."""
    verdict: dict[str, Any] = {"whole": True, "problem": None, "hint": None, "exit_code": 0, "head": "", "in_doubt": 0}
    verdict["bucket"] = {"compared": False, "rows": None, "why": "", "passed_over": 0, "examples": []}
    database = settings.tracking.database
    head_file = chain.tip_path(database)
    with open_history(database) as history:
        first = history.first()
    if not first and not head_file.exists():
        return verdict
    try:
        key = chain.load_key(chain.key_path(database, settings.switch.journal_key_file), may_create=False)
        witness = await _witness(settings, key, first, bucket, clock)
        verdict["bucket"] = {
            "compared": witness.head is not None,
            "rows": witness.head.rows if witness.head is not None else None,
            "why": witness.why,
            "passed_over": witness.passed_over,
            "examples": witness.examples,
        }
        heads = [witness.head] if witness.head is not None else []
        if head_file.exists():
            heads.append(chain.read_tip(key, head_file.read_bytes(), str(head_file)))
        elif not heads:
            raise Differs(f"the journal's exported head {head_file} is missing", hint=("bring it back; ", chain.SAFE))
        with open_history(database) as history:
            checked = history.check(key, heads)
    except (Differs, Blocked) as error:
        broken = {"whole": False, "problem": str(error), "hint": to_type(error.hint), "exit_code": Differs.exit_code}
        return verdict | broken
    unseen = bucket is True and witness.head is None
    return verdict | {
        "head": checked.head.hash,
        "in_doubt": len(checked.open),
        "exit_code": Blocked.exit_code if unseen else 0,
    }


async def _witness(settings: Settings, key: Key, first: str, wanted: bool | None, clock: Clock) -> Witness:
    if wanted is False:
        return Witness(why="--no-bucket was given")
    if not first:
        return Witness(why="this journal is empty")
    try:
        async with (
            asyncio.timeout(None if wanted else PATIENCE_S),
            open_adapters(settings, clock, transport="fast") as adapters,
        ):
            return await remote_head(adapters.s3, key, first)
    except TimeoutError:
        return Witness(why=f"no answer within {PATIENCE_S:.0f} s (--bucket waits longer)")
    except EngineError as error:
        return Witness(why=str(error))


def _shown(step: dict[str, Any]) -> dict[str, Any]:
    """A presigned query is a password."""
    return {**step, "old_url": bare_urls(step["old_url"]), "new_url": bare_urls(step["new_url"])}


def _id(text: str | None, name: str) -> str | None:
    if text is None:
        return None
    try:
        return to18(text)
    except ValueError as error:
        hint = "An Id has 15 or 18 letters and digits, such as a0X3D00000AbcDeQAF."
        raise Usage(f"{name} {text!r} is not a Salesforce Id: {error}", hint=hint) from error
