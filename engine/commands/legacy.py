"""What the original scripts have done, taken over."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.flags import AsJson, Config, Progress, flag, value
from engine.commands.frame import answer, guarded, perform, screen_for, settings_for


def import_legacy(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The scripts' migration_tracking.db; it is only read.", metavar="FILE")],
    execute: Annotated[bool, flag("--execute", "Write the rows and the journal entries.")] = False,
    dry_run: Annotated[bool, flag("--dry-run", "Say what an import would do (the default).", short="-n")] = False,
    timezone: Annotated[
        str | None,
        value("--timezone", "ZONE", "Zone of the scripts' times, such as Europe/Berlin (default: this machine's)."),
    ] = None,
    read_bytes: Annotated[
        bool, flag("--read-bytes", "Read source and copy where listing and HEAD prove nothing.")
    ] = False,
    report: Annotated[Path | None, value("--report", "FILE", "Write every doubt as a line of CSV.")] = None,
    progress: Progress = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Adopt the tracking DB of the original scripts.

    Each copy is proved, by listing or by HEAD, before it counts as backed up; it keeps its key and is not copied again.
    Links that the scripts have moved are read in Salesforce and go into the journal, so that a rollback can put them
    back. What is doubtful is pending, with a class; the next backup copies it. Salesforce and FILE are only read.

    Examples:

      engine import-legacy old/migration_tracking.db

      engine import-legacy old/migration_tracking.db --timezone America/Los_Angeles --report doubts.csv --execute
    """
    with guarded(ctx):
        from engine.runs.legacy.importing import ImportOptions
        from engine.runs.legacy.importing import import_legacy as adopt
        from engine.runs.shared.options import dry_or

        options = ImportOptions(
            file=file,
            execute=dry_or("--execute", execute, dry_run=dry_run),
            timezone=timezone,
            read_bytes=read_bytes,
            report=report,
        )
        settings = settings_for(ctx)
        with screen_for(ctx) as screen:
            found = perform(adopt(settings, options, screen))
        answer(ctx, found)
