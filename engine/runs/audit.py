"""``engine audit``: is the journal whole, and what does it say? Reads only, needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.model.errors import Blocked, Differs, Usage
from engine.model.ids import to18
from engine.model.text import bare_urls, printable
from engine.settings import Settings
from engine.tracking import chain
from engine.tracking.history import History, open_history

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 200


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Whose history is asked for; None: an overview."""

    record: str | None = None
    account: str | None = None
    run: int | None = None
    limit: int | None = None


def audit(settings: Settings, options: AuditOptions) -> dict[str, Any]:
    """Check the chain and tell the history. ``exit_code`` 6 where the chain is broken. Raises Blocked, Usage."""
    record, account = _id(options.record, "--record"), _id(options.account, "--account")
    with open_history(settings.tracking.database) as history:
        document: dict[str, Any] = {
            "database": str(settings.tracking.database),
            "rows": history.rows(),
            **_verdict(settings, history),
        }
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
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if document["whole"]:
        line(f"The journal is whole: {document['rows']:,} rows, each sealed; last seal {document['head'][:16]}")
        if document["in_doubt"]:
            line(f"{document['in_doubt']:,} links are in doubt; the next switch, rollback or backup reads them first")
    else:
        line(f"NOT WHOLE: {document['problem']}")
        line(f"  {document['hint']}")
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


def _verdict(settings: Settings, history: History) -> dict[str, Any]:
    whole: dict[str, Any] = {"whole": True, "problem": None, "hint": None, "exit_code": 0, "head": "", "in_doubt": 0}
    database = settings.tracking.database
    head_file = chain.head_path(database)
    if not history.rows() and not head_file.exists():
        return whole
    try:
        key = chain.load_key(chain.key_path(database, settings.switch.journal_key_file), may_create=False)
        if not head_file.exists():
            raise Differs(f"the journal's exported head {head_file} is missing", hint=f"bring it back; {chain.SAFE}")
        checked = history.check(key, [chain.read_head(key, head_file.read_bytes(), str(head_file))])
    except (Differs, Blocked) as error:
        return whole | {"whole": False, "problem": str(error), "hint": error.hint, "exit_code": Differs.exit_code}
    return whole | {"head": checked.head.hash, "in_doubt": len(checked.open)}


def _shown(step: dict[str, Any]) -> dict[str, Any]:
    """A presigned query is a password."""
    return {**step, "old_url": bare_urls(step["old_url"]), "new_url": bare_urls(step["new_url"])}


def _id(text: str | None, name: str) -> str | None:
    if text is None:
        return None
    try:
        return to18(text)
    except ValueError as error:
        raise Usage(f"{name} {text!r} is not a Salesforce Id: {error}") from error
