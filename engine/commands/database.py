"""What a person does to the tracking DB by hand: leave records out of the readiness count, take a snapshot,
bring back what it knew of links."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.flags import AsJson, Config, Progress, flag, value
from engine.commands.frame import answer, guarded, perform, screen_for, settings_for, show


def waive(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Salesforce Ids of the records.")] = None,
    reason: Annotated[str, value("--reason", "TEXT", "Why; the reason is kept.")] = "",
    file: Annotated[Path | None, value("--file", "FILE", "Read the Ids from a file, one per line.")] = None,
    undo: Annotated[bool, flag("--undo", "Count waived records again.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Take records out of the readiness count, and note why.

    Use it for records that will never be switched, once somebody has agreed to leave them behind. The tracking DB keeps
    who did it, when and why. Nothing else changes.

    Examples:

      engine waive a0X5g00000AbcDeEAF --reason "deleted by the customer, ticket 4711"

      engine waive --file missing.txt --reason "lost at the vendor, agreed with legal on 2026-11-20"

      engine waive a0X5g00000AbcDeEAF --undo --reason "the vendor found the file"
    """
    with guarded(ctx):
        from engine.runs.shared.ids_file import read_ids
        from engine.runs.status.waive import waive as note

        chosen = [*(ids or []), *(read_ids(file, "--file") if file else ())]
        answer(ctx, perform(note(settings_for(ctx), chosen, reason=reason, undo=undo)))


def db_snapshot(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The snapshot to write; it must not exist yet.", metavar="FILE")],
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Copy the tracking DB to FILE, also during a run.

    The copy holds everything up to the last commit.

    Example:

      engine db snapshot /backup/tracking-2026-11-22.db
    """
    with guarded(ctx):
        from engine.runs.status.snapshot import show_snapshot, take_snapshot

        show(ctx, take_snapshot(settings_for(ctx), file), show_snapshot)


def db_rebuild(
    ctx: typer.Context,
    from_bucket: Annotated[bool, flag("--from-bucket", "From the journal that the bucket keeps.")] = False,
    journal: Annotated[str | None, value("--journal", "NAME", "This journal, where the bucket keeps several.")] = None,
    progress: Progress = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Bring back what a lost or older tracking DB knew of changed links.

    Every batch of the journal lies in the bucket, sealed with the journal's key. What is missing here is checked and
    added as it was. A lost DB gets the records that the journal names; the next backup looks at all others, and proves
    the copies again. Nothing is written to Salesforce. It may be stopped at any time, and goes on when started again.

    Example:

      engine db rebuild --from-bucket
    """
    with guarded(ctx):
        from engine.runs.journal.rebuild import rebuild
        from engine.runs.shared.options import exactly_one

        exactly_one({"--from-bucket": from_bucket})
        settings = settings_for(ctx)
        with screen_for(ctx) as screen:
            rebuilt = perform(rebuild(settings, screen, journal))
        answer(ctx, rebuilt)
