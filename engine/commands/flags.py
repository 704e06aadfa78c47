"""Flags that several commands have, and those of ``engine run``, each with its one name and help text.

``Config``, ``AsJson``, ``Progress`` and ``Profile`` are read by ``frame.py``, from the context: a command only lists
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.commands.completion import offered


def flag(name: str, text: str, short: str = "") -> Any:
    """A flag that takes no value, or one of a few words."""
    return typer.Option(*filter(None, (name, short)), help=text)


def value(name: str, metavar: str, text: str, short: str = "", **more: Any) -> Any:
    """A flag with a value."""
    return typer.Option(*filter(None, (name, short)), metavar=metavar, help=text, **more)


_SETTINGS = "Settings file (default ./settings.yaml)."
Config = Annotated[Path | None, value("--config", "FILE", _SETTINGS, short="-c")]
ConfigForAll = Annotated[Path | None, value("--config", "FILE", _SETTINGS, short="-c", envvar="ENGINE_CONFIG")]
"""Given before the command."""
AsJson = Annotated[bool, flag("--json", "Print one JSON document on stdout.")]
Progress = Annotated[bool | None, flag("--progress/--no-progress", "Show progress (the default), or not.")]
Export = Annotated[Path | None, value("--export", "FILE", "Write the whole report as JSON.")]
Account = Annotated[
    str | None, value("--account", "ID", "Only this account's records.", autocompletion=offered("accounts"))
]

# all of engine run

Limit = Annotated[int | None, value("--limit", "N", "At most N records that need work.", min=1)]
MaxDuration = Annotated[str | None, value("--max-duration", "TIME", "Stop cleanly after 90s, 30m, 6h … (exit 5).")]
Profile = Annotated[
    Path | None, value("--profile", "FILE", "Write where the time goes: text, or a web page if FILE ends in .html.")
]

# engine run backup

Full = Annotated[bool, flag("--full", "Scan every record; copy what is missing or changed.")]
Incremental = Annotated[
    bool,
    flag(
        "--incremental",
        "Finish an interrupted scan, then take records changed since the last completed scan, then retry what is "
        "pending or failed for a passing reason.",
    ),
]
NewDatabase = Annotated[bool, flag("--new-database", "With --incremental: create the tracking DB if there is none.")]
DryRun = Annotated[bool | None, flag("--dry-run/--no-dry-run", "Show what would be done; write nothing.", short="-n")]
Concurrency = Annotated[int | None, value("--concurrency", "N", "Copies in flight.")]
QueueSize = Annotated[int | None, value("--queue-size", "N", "Files planned ahead of the copies.")]
BatchSize = Annotated[int | None, value("--batch-size", "N", "Outcomes per commit.")]
PartSize = Annotated[int | None, value("--part-size-mb", "N", "Size of an upload's parts, in MiB.")]
MaxFileSize = Annotated[float | None, value("--max-file-size-mb", "N", "Skip files larger than N MB.")]
Extension = Annotated[list[str] | None, value("--extension", ".EXT", "Only files of this kind; repeatable.")]
RetryClass = Annotated[
    list[str] | None,
    value(
        "--retry-class",
        "CLASS",
        "Also retry failures of this class; repeatable.",
        autocompletion=offered("failure_classes"),
    ),
]
Transport = Annotated[Literal["fast", "sdk"], flag("--transport", "Our own S3 client, or the AWS SDK.")]
Executor = Annotated[
    str | None,
    value(
        "--executor",
        "WHERE",
        "Who makes the copies: local, processes:N, dask://127.0.0.1:8786 or tls://host:8786.",
    ),
]

# engine run switch and rollback

Execute = Annotated[bool, flag("--execute", "Change links in Salesforce.")]
Yes = Annotated[bool, flag("--yes", "Do not ask; needed where there is no terminal.", short="-y")]
Wave = Annotated[int | None, value("--wave", "N", "Only this wave.", min=1)]
Strict = Annotated[
    bool,
    flag(
        "--strict",
        "Write 25 records a call instead of 200, each only if it was not modified since it was read. Without it, an "
        "edit between our read and our write is overwritten; the report says how many ms that took at most. Salesforce "
        "compares whole seconds, so a small gap stays.",
    ),
]
WritesInFlight = Annotated[int | None, value("--concurrency", "N", "Writes in flight; at most 4.")]
RecordsPerWrite = Annotated[int | None, value("--batch-size", "N", "Records per write; at most 200.")]
PlanOnly = Annotated[bool, flag("--dry-run", "Write a plan file and nothing else (the default).", short="-n")]
Plan = Annotated[
    Path | None,
    value(
        "--plan",
        "FILE",
        "Apply exactly this plan; with --dry-run: where to write it.",
        autocompletion=offered("plans"),
    ),
]
Upload = Annotated[bool, flag("--upload-rollback-file", "Put the rollback file into the destination bucket too.")]
ReadOnly = Annotated[
    bool, flag("--dry-run", "Read every record and show what would be done (the default).", short="-n")
]
FromDatabase = Annotated[bool, flag("--from-database", "Undo the changes in the journal of the tracking DB.")]
UndoFile = Annotated[
    Path | None, value("--rollback-file", "FILE", "Undo the changes in this rollback file; needs no DB.")
]
FromBucket = Annotated[
    bool, flag("--from-bucket", "Undo the changes in the journal that the bucket keeps; needs no DB, but its key.")
]
JournalName = Annotated[str | None, value("--journal", "NAME", "With --from-bucket: only this journal.")]
OfRun = Annotated[
    int | None, value("--run", "N", "Only what this switch run changed.", autocompletion=offered("switch_runs"))
]
Ids = Annotated[Path | None, value("--ids", "FILE", "Only these records: one Id per line.")]
Since = Annotated[str | None, value("--since", "TIME", "Only changes since this time, such as 2026-11-22T10:00:00Z.")]
ForceLinks = Annotated[bool, flag("--force", "Move links although nobody could open the first of them.")]
Force = Annotated[
    bool,
    flag(
        "--force",
        "Go on if old links are dead, or the file lacks its last line; with --from-bucket, also if rows are missing or "
        "cannot be verified.",
    ),
]
