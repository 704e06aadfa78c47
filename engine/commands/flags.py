"""Flags that several commands have, each with its one name and help text. What only one command has stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The same, given here.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on stdout.")]
Progress = Annotated[bool | None, typer.Option("--progress/--no-progress", help="Say how far it is.")]
Export = Annotated[Path | None, typer.Option("--export", metavar="FILE", help="Write the whole report as JSON.")]

Account = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's records.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="At most N records that need work; unchanged ones do not count."),
]
MaxDuration = Annotated[
    str | None, typer.Option("--max-duration", metavar="TIME", help="Stop cleanly after 90s, 30m, 6h … (exit 5).")
]

Profile = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="Write where the time goes: text, or a page if FILE is .html."),
]

Execute = Annotated[bool, typer.Option("--execute", help="Really change links in Salesforce.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; needed off a terminal.")]
WritesInFlight = Annotated[
    int | None, typer.Option("--concurrency", metavar="N", help="Writes in flight; never more than 4.")
]
RecordsPerWrite = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Records per write; never more than 200.")
]
