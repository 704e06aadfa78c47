"""Flags that several commands have, and those of ``engine run``, each with its one name and help text.

``Config``, ``AsJson``, ``Progress`` and ``Profile`` are read by ``frame.py``, from the context: a command only lists
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_SETTINGS = "Settings file (default ./settings.yaml)."
Config = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help=_SETTINGS)]
ConfigForAll = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", envvar="ENGINE_CONFIG", help=_SETTINGS)
]
"""Given before the command."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Progress = Annotated[bool | None, typer.Option("--progress/--no-progress", help="Show progress (the default), or not.")]
Export = Annotated[Path | None, typer.Option("--export", metavar="FILE", help="Write the whole report as JSON.")]
Account = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's records.")]

# all of engine run

Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="At most N records; unchanged ones do not count.")
]
MaxDuration = Annotated[
    str | None, typer.Option("--max-duration", metavar="TIME", help="Stop cleanly after 90s, 30m, 6h … (exit 5).")
]
Profile = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="Write where the time goes: text, or a page if FILE is .html."),
]

# engine run backup

Full = Annotated[bool, typer.Option("--full", help="Scan every record; copy what is missing or changed.")]
Incremental = Annotated[
    bool,
    typer.Option(
        "--incremental",
        help="Finish an interrupted scan, then take records changed since the last completed scan, then retry what is "
        "pending or failed for a passing reason.",
    ),
]
NewDatabase = Annotated[
    bool, typer.Option("--new-database", help="With --incremental: create the tracking DB if there is none.")
]
DryRun = Annotated[
    bool | None, typer.Option("--dry-run/--no-dry-run", "-n", help="Show what would be done; write nothing.")
]
Concurrency = Annotated[int | None, typer.Option("--concurrency", metavar="N", help="Copies in flight.")]
QueueSize = Annotated[int | None, typer.Option("--queue-size", metavar="N", help="Files planned ahead of the copies.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", metavar="N", help="Outcomes per commit.")]
PartSize = Annotated[int | None, typer.Option("--part-size-mb", metavar="N", help="Size of an upload's parts, in MiB.")]
MaxFileSize = Annotated[
    float | None, typer.Option("--max-file-size-mb", metavar="N", help="Skip files larger than N MB.")
]
Extension = Annotated[
    list[str] | None, typer.Option("--extension", metavar=".EXT", help="Only files of this kind; repeatable.")
]
RetryClass = Annotated[
    list[str] | None,
    typer.Option("--retry-class", metavar="CLASS", help="Also retry failures of this class; repeatable."),
]
Transport = Annotated[Literal["fast", "sdk"], typer.Option("--transport", help="Our own S3 client, or the AWS SDK.")]

# engine run switch and rollback

Execute = Annotated[bool, typer.Option("--execute", help="Change links in Salesforce.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
Wave = Annotated[int | None, typer.Option("--wave", min=1, metavar="N", help="Only this wave.")]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Write 25 records a call instead of 200, each only if it was not modified since it was read. Without it, "
        "an edit between our read and our write is overwritten; the report says how many ms that took at most. "
        "Salesforce compares whole seconds, so a small gap stays.",
    ),
]
WritesInFlight = Annotated[int | None, typer.Option("--concurrency", metavar="N", help="Writes in flight; at most 4.")]
RecordsPerWrite = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Records per write; at most 200.")
]
PlanOnly = Annotated[bool, typer.Option("--dry-run", "-n", help="Write a plan file and nothing else (the default).")]
Plan = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="Apply exactly this plan; with --dry-run: where to write it."),
]
Upload = Annotated[
    bool, typer.Option("--upload-rollback-file", help="Put the rollback file into the destination bucket too.")
]
ReadOnly = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Read every record and show what would be done (the default).")
]
FromDatabase = Annotated[
    bool, typer.Option("--from-database", help="Undo the changes in the journal of the tracking DB.")
]
UndoFile = Annotated[
    Path | None,
    typer.Option("--rollback-file", metavar="FILE", help="Undo the changes in this rollback file; needs no DB."),
]
OfRun = Annotated[int | None, typer.Option("--run", metavar="N", help="Only what this switch run changed.")]
Ids = Annotated[Path | None, typer.Option("--ids", metavar="FILE", help="Only these records: one Id per line.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only changes made since 2026-11-22T10:00:00Z.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Go on although old links are dead, or the file lacks its last line.")
]
