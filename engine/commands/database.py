"""What a person does to the tracking DB by hand: take records out of the sum (waive), copy it (db snapshot)."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.flags import AsJson, Config
from engine.commands.frame import answer, guarded, perform, print_json, settings_for


def waive(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Records, by their Salesforce Ids.")] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays on record.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Read the Ids from a file, one a line.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Put waived records back into the sum.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Take records out of the readiness sum, and note why.

    The tracking DB keeps who did it, when and why. Nothing else changes.
    For records that will never be switched and that somebody has agreed to leave behind.

    Examples:

      engine waive a0X5g00000AbcDeEAF --reason "deleted by the customer, ticket 4711"

      engine waive --file missing.txt --reason "lost at the vendor, agreed with legal on 2026-11-20"

      engine waive a0X5g00000AbcDeEAF --undo --reason "the vendor found the file"
    """
    with guarded(as_json, ctx):
        from engine.runs.status.waive import ids_in
        from engine.runs.status.waive import waive as note

        chosen = [*(ids or []), *(ids_in(file) if file else ())]
        answer(perform(note(settings_for(ctx, config, {}), chosen, reason=reason, undo=undo)), as_json)


def db_snapshot(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The snapshot to write; must not exist yet.", metavar="FILE")],
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Copy the tracking DB to FILE, also while a run writes.

    The copy is consistent to the last commit.

    Example:

      engine db snapshot /backup/tracking-2026-11-22.db
    """
    with guarded(as_json, ctx):
        from engine.runs.status.snapshot import take_snapshot

        taken = take_snapshot(settings_for(ctx, config, {}), file)
        if as_json:
            print_json(taken)
        else:
            typer.echo(f"Wrote {file}: {taken['records']:,} records, {taken['bytes']:,} bytes, checked.")
