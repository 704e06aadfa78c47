"""``engine audit``: is the journal whole, and what does it say? Reads only.

The journal is compared with its chain tip beside the DB and, where that can be reached, with the one in the destination
bucket. The answer says whether it was, and if not why.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.limiting.clock import Clock, SystemClock
from engine.limiting.retry import Retries
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Differs, EngineError, Usage
from engine.model.ids import to18
from engine.model.text import bare_urls
from engine.runs.journal.tips import Witness, passed_over, witness_of
from engine.runs.shared import tables
from engine.runs.shared.assembly import open_adapters
from engine.runs.shared.command import to_type
from engine.settings import Settings
from engine.tracking.db import chain
from engine.tracking.db.chain import FROM_FILE, Key
from engine.tracking.db.connect import one_moment
from engine.tracking.read import journal
from engine.tracking.read.links import FORMED_ANEW, Foreign, foreign

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 200
_RUNS = {"run_id": "run", "wave": "wave", "event": "event", "steps": "steps", "first": "first", "last": "last"}
_HISTORY = {
    "id": "row",
    "run_id": "run",
    "wave": "wave",
    "at": "when, UTC",
    "record": "record",
    "event": "event",
    "detail": "detail",
    "old_url": "old link",
    "new_url": "new link",
}
"""Columns of the two tables, with their heads."""
PATIENCE_S = 10.0
"""For the bucket, so that nobody waits long who is offline."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Whose history is wanted; all None: an overview. ``bucket``: compare with the tip in the bucket; None: if it
    answers."""

    record: str | None = None
    account: str | None = None
    run: int | None = None
    limit: int | None = None
    bucket: bool | None = None


async def audit(settings: Settings, options: AuditOptions, clock: Clock | None = None) -> dict[str, Any]:
    """Check the chain, and give the history. ``exit_code`` is 6 where the chain is broken, or records' rows hold links
    that are not made of their keys; 4 where ``bucket`` was wanted and did not answer. Raises Blocked, Usage."""
    record, account = _id(options.record, "--record"), _id(options.account, "--account")
    verdict = await _verdict(settings, options.bucket, clock or SystemClock())
    with one_moment(settings.tracking.database) as db:
        strange = foreign(db, settings.destination.link_template)
        document: dict[str, Any] = {
            "database": str(settings.tracking.database),
            "rows": journal.count(db),
            **verdict,
            "foreign_link_count": strange.count,
            "foreign_link_examples": strange.examples,
            "foreign_links": {"count": strange.count, "examples": strange.examples},
        }
        if strange.count:
            document["exit_code"] = Differs.exit_code
        if record or account or options.run is not None:
            steps = journal.history(db, record=record, account=account, run=options.run, limit=options.limit or SHOWN)
            document["history"] = [_shown(step) for step in steps]
        else:
            document["runs"] = journal.summary(db)
    return document


def show_audit(document: dict[str, Any], console: Console) -> None:
    """The same for a person."""

    def line(text: str) -> None:
        tables.line(console, text)

    if document["whole"]:
        if document["rows"]:
            line(f"The journal is whole: {document['rows']:,} rows, each with its HMAC; tip {document['head'][:16]}")
        else:
            line("The journal is empty: there is no chain tip yet")
        if document["in_doubt"]:
            line(f"{document['in_doubt']:,} links are in doubt; the next switch, rollback or backup reads them first")
    else:
        line(f"NOT WHOLE: {document['problem']}")
        line(f"  {document['hint']}")
    if document["foreign_links"]["count"]:
        line(f"NOT AS PROVED: {Foreign(**document['foreign_links'])}")
    bucket = document["bucket"]
    if bucket["compared"]:
        line(f"It was also compared with the bucket, which knows it up to row {bucket['rows']:,}")
    elif bucket["why"]:
        line(f"Not compared with the bucket: {bucket['why']}")
    if bucket["passed_over"]:
        line(passed_over(bucket["passed_over"], bucket["examples"]))
    columns, rows = (_HISTORY, document["history"]) if "history" in document else (_RUNS, document["runs"])
    if rows:
        cells = ([str(row[name]) for name in columns] for row in rows)
        tables.table(console, "", list(columns.values()), cells, wraps=None)
    else:
        line("No link was ever changed." if "runs" in document else "The journal knows nothing of that.")


def after_audit(document: dict[str, Any]) -> list[Advice]:
    """What to type next."""
    steps: list[Advice] = []
    if not document["whole"]:
        steps += [FROM_FILE, (Command("db rebuild --from-bucket"), "   adds the rows that the bucket holds")]
    elif document["in_doubt"]:
        steps.append((Command("run backup --incremental"), "   reads the links in doubt first"))
    if document["foreign_link_count"]:
        steps.append(FORMED_ANEW)
    if document["whole"] and document["rows"]:
        steps.append((Command("run rollback --from-database"), "   shows what an undo would do"))
    return steps


async def _verdict(settings: Settings, bucket: bool | None, clock: Clock) -> dict[str, Any]:
    """Tips are read before the journal: a run that goes on meanwhile writes them after their rows."""
    verdict: dict[str, Any] = {"whole": True, "problem": None, "hint": None, "exit_code": 0, "head": "", "in_doubt": 0}
    verdict["bucket"] = {"compared": False, "rows": None, "why": "", "passed_over": 0, "examples": []}
    database = settings.tracking.database
    tip_file = chain.tip_path(database)
    with one_moment(database) as db:
        first = journal.first_hash(db)
    if not first and not tip_file.exists():
        return verdict
    try:
        key = chain.load_key(chain.key_path(database, settings.switch.journal_key_file), may_create=False)
        witness = await _witness(settings, key, first, bucket, clock)
        verdict["bucket"] = {
            "compared": witness.tip is not None,
            "rows": witness.tip.rows if witness.tip is not None else None,
            "why": witness.why,
            "passed_over": witness.passed_over,
            "examples": witness.examples,
        }
        tips = list(witness.tips)
        if tip_file.exists():
            tips.append(chain.read_tip(key, tip_file.read_bytes(), str(tip_file)))
        elif not tips:
            raise chain.tip_missing(tip_file)
        with one_moment(database) as db:
            checked = journal.walk(db, key, tips)
    except (Differs, Blocked) as error:
        broken = {"whole": False, "problem": str(error), "hint": to_type(error.hint), "exit_code": Differs.exit_code}
        return verdict | broken
    unseen = bucket is True and witness.tip is None
    return verdict | {
        "head": checked.tip.hash,
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
            once = Retries(clock, 1)
            return await witness_of(adapters.s3, adapters.retries if wanted else once, key, first)
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
