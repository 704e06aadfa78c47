"""An analysis as tables for a person."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.model.command import Advice, Command
from engine.model.text import printable
from engine.runs.shared.command import as_flags
from engine.runs.shared.report import by_reason, duration, size
from engine.runs.shared.tables import line, table

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 10


def after_analysis(found: dict[str, Any]) -> list[Advice]:
    """What to type next."""
    account = as_flags(account=found["scope"]["account_id"])
    if found["records"]["done"]:
        return [(Command(f"run backup --incremental{account}"), "   copies what is left")]
    return [
        (Command("doctor"), "   checks org, source, bucket and this machine"),
        (Command(f"run backup --full{account}"), "   copies every file"),
    ]


def show_analysis(found: dict[str, Any], console: Console) -> None:
    """Everything of ``--json`` that a person wants to read, advice last."""
    _scope(found, console)
    _numbers(found, console)
    _breakdowns(found, console)
    _problems(found, console)
    _forecast(found["forecast"], console)
    for note in found["notes"]:
        line(console, f"note: {note}")
    if (archived := found["archived_file"]) is not None:
        line(console, f"{archived['objects']:,} archived files are listed in {archived['file']}")
    advised = found["recommendations"]
    line(console, "\nRecommendations" if advised else "\nNo recommendations: nothing is in the way.")
    for number, text in enumerate(advised, 1):
        for part in textwrap.wrap(text, 110, initial_indent=f"{number:3}. ", subsequent_indent="     "):
            line(console, part)


def _scope(found: dict[str, Any], console: Console) -> None:
    scope, records = found["scope"], found["records"]
    part = f" of account {scope['account_id']}" if scope["account_id"] else ""
    line(console, f"{records['total']:,} records{part} of {printable(found['org']['name'])}, {found['at']}")
    for name, route in found["routes"].items():
        line(console, f"{name}: {route['method']} ({route['why']})")


def _numbers(found: dict[str, Any], console: Console) -> None:
    records, files, sizes, links = found["records"], found["files"], found["sizes"], found["links"]
    rows = [
        ("records to copy", f"{records['to_copy']:,}", ""),
        ("copied already", f"{records['done']:,}", ""),
        *((f"left out: {name}", f"{count:,}", "") for name, count in records["left_out"].items()),
        ("without account", f"{records['without_account']:,}", ""),
        ("distinct files", f"{files['distinct']:,}", f"{files['to_copy']:,} of them to copy"),
        (
            "shared files",
            f"{files['shared']:,}",
            f"{files['reads_saved']:,} reads and {_size(files['bytes_saved'])} saved by copying within the destination",
        ),
        ("bytes, all files", _bytes(sizes["bytes"]), _how(sizes)),
        ("bytes to copy", _bytes(sizes["bytes_to_copy"]), ""),
        ("bytes to store", _bytes(sizes["bytes_to_store"]), "each record has a copy of its own"),
        ("archived", _count(sizes["archived"]), f"{_size(sizes['archived_bytes'])}"),
        ("missing at the source", _count(sizes["missing"]), ""),
    ]
    if sizes["files_of_unknown_size"]:
        rows.append(("of unknown size", f"{sizes['files_of_unknown_size']:,}", by_reason(sizes["heads_refused"])))
    if sizes["too_large"]:
        rows.append(("too large", f"{sizes['too_large']:,}", "larger than migration.max_file_size_mb"))
    if (orphans := sizes["objects_without_record"]) is not None:
        rows.append(("objects without record", f"{orphans['objects']:,}", _size(orphans["bytes"])))
    fits = "all fit" if not links["too_long"] else f"{links['too_long']:,} do not fit, by up to {links['excess']:,}"
    rows += [
        ("longest new link", f"{links['longest']:,}", f"the field takes {links['field_length']:,}: {fits}"),
        (
            "key collisions",
            f"{found['collisions']['exact']:,}",
            f"{found['collisions']['case_insensitive']:,} more if case is ignored",
        ),
    ]
    table(console, "Scope", ("", "", ""), rows, right=(1,))


def _how(sizes: dict[str, Any]) -> str:
    if sizes["basis"] == "unknown":
        return "no file was checked" if not sizes["heads"] else "no checked file could be read"
    if sizes["basis"] == "exact":
        listed = f"{sizes['listed_objects']:,} objects listed, " if sizes["listed_objects"] else ""
        return f"exact: {listed}{sizes['heads']:,} HEADs"
    return f"95 % interval from {sizes['heads']:,} HEADs: {sizes['method']}"


def _breakdowns(found: dict[str, Any], console: Console) -> None:
    by, total = found["by"], found["by_rows"]

    def rows(name: str, columns: tuple[str, ...]) -> list[list[str]]:
        return [[_cell(column, row[column]) for column in columns] for row in by[name][:SHOWN]]

    def title(text: str, name: str) -> str:
        return f"{text} (first {SHOWN} of {total[name]:,}; more: --json, --export)" if total[name] > SHOWN else text

    for text, name, columns, texts in (
        ("By account", "account", ("account_id", "account_name", "records", "to_copy", "bytes"), 2),
        ("By extension", "extension", ("extension", "files", "records", "bytes"), 1),
        ("By size", "size_class", ("size_class", "files", "bytes"), 1),
        ("By storage class", "storage_class", ("storage_class", "files", "bytes"), 1),
        ("By host", "host", ("host", "records", "to_copy", "done"), 1),
    ):
        if by[name]:
            numbers = range(texts, len(columns))
            heads = [column.replace("_", " ") for column in columns]
            table(console, title(text, name), heads, rows(name, columns), numbers, texts - 1)
    if found["largest"]:
        largest = [
            (_size(each["bytes"]), each["storage_class"] or "", each["record_id"], printable(each["source"]))
            for each in found["largest"][:SHOWN]
        ]
        table(console, "Largest files", ("size", "class", "record", "source"), largest, (0,))


def _problems(found: dict[str, Any], console: Console) -> None:
    for title, name, column in (
        ("Malformed URLs", "bad_urls", "reason"),
        ("Hosts that are not allowed", "foreign_hosts", "host"),
    ):
        rows = [
            (f"{each['records']:,}", each["example"], printable(each[column]) or "(none)")
            for each in found["problems"][name][:SHOWN]
        ]
        if rows:
            table(console, title, ("records", "for example", column), rows, (0,))


def _forecast(forecast: dict[str, Any], console: Console) -> None:
    cost = forecast["cost"]
    seconds = forecast["seconds"]
    share = forecast["share_of_daily_calls"]
    budget = f"{100 * share:.1f} % of a day's budget" if share is not None else ""
    rows = [
        ("time", _between(seconds, duration), forecast["because"]),
        *(("", "", basis) for basis in forecast["bases"]),
        *(
            (f"Salesforce calls, {name}", f"{count:,}", budget if name == "backup" else "")
            for name, count in forecast["salesforce_calls"].items()
        ),
        *((f"S3 {name}", f"{count:,}", "") for name, count in forecast["s3_requests"].items()),
        *((f"cost, {name}", _between(value, _money), cost["currency"]) for name, value in cost["once"].items()),
        ("storage, a month", _between(cost["storage_per_month"], _money), cost["currency"]),
    ]
    if cost["if_this_machine_is_outside_aws"] is not None:
        rows.append(
            (
                "out of AWS",
                _between(cost["if_this_machine_is_outside_aws"], _money),
                "only if this machine is outside AWS; the owner of the source pays, unless it is requester-pays",
            )
        )
    table(console, "Forecast", ("", "", ""), rows, right=(1,))
    line(console, f"prices: {cost['prices_from']}")


def _cell(column: str, value: Any) -> str:
    if column == "bytes":
        return _size(value)
    if isinstance(value, int):
        return f"{value:,}"
    return printable(value or "") or "(none)"


def _size(value: float | None) -> str:
    return "unknown" if value is None else size(value)


def _money(value: float) -> str:
    return f"{value:,.2f}"


def _bytes(value: dict[str, Any] | None) -> str:
    return _between(value, size)


def _count(value: dict[str, Any]) -> str:
    return _between(value, lambda number: f"{number:,}")


def _between(value: dict[str, Any] | None, say: Callable[[Any], str]) -> str:
    if value is None:
        return "unknown"
    if value["exact"]:
        return say(value["estimate"])
    return f"{say(value['estimate'])} ({say(value['low'])} to {say(value['high'])})"
