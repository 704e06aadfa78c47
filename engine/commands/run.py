"""``engine run``: backup, switch, rollback; the three commands that move files and links."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.commands.flags import (
    Account,
    AsJson,
    Config,
    Execute,
    Limit,
    MaxDuration,
    Profile,
    Progress,
    RecordsPerWrite,
    WritesInFlight,
    Yes,
)
from engine.commands.frame import answer, guarded, perform, screen_for, settings_for


def _migration(flags: Mapping[str, object]) -> dict[str, object]:
    """Flags that stand for settings of that name."""
    return {f"migration.{name}": value for name, value in flags.items()}


def run_backup(
    ctx: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Scan every record; copy what is missing or changed.")] = False,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental",
            help="Finish an interrupted scan, then records changed since the last completed one, then whatever is "
            "pending or worth another try.",
        ),
    ] = False,
    new_database: Annotated[
        bool, typer.Option("--new-database", help="With --incremental: begin a tracking DB where there is none yet.")
    ] = False,
    account: Account = None,
    limit: Limit = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run/--no-dry-run", "-n", help="Say what would be done; write nothing.")
    ] = None,
    max_duration: MaxDuration = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Live display; by default on a terminal.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", metavar="N", help="Copies in flight.")] = None,
    queue_size: Annotated[int | None, typer.Option("--queue-size", metavar="N", help="Plans waiting.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", help="Outcomes per commit.")] = None,
    part_size_mb: Annotated[
        int | None, typer.Option("--part-size-mb", metavar="N", help="Size of an upload's parts, in MiB.")
    ] = None,
    max_file_size_mb: Annotated[
        float | None, typer.Option("--max-file-size-mb", metavar="N", help="Files of more MB are skipped.")
    ] = None,
    extension: Annotated[
        list[str] | None, typer.Option("--extension", metavar=".EXT", help="Only such files; repeatable.")
    ] = None,
    retry_class: Annotated[
        list[str] | None,
        typer.Option("--retry-class", metavar="CLASS", help="Also retry failures of this class; repeatable."),
    ] = None,
    transport: Annotated[
        Literal["fast", "sdk"], typer.Option("--transport", help="Our own S3 client, or the AWS SDK.")
    ] = "fast",
    profile: Profile = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Phase 1: copy every file, prove each copy, remember it.

    Salesforce is only read.

    Examples:

      engine run backup --full

      engine run backup --incremental --max-duration 6h

      engine run backup --full --account 0013D00000AbcDeQAF --limit 50 --dry-run
    """
    with guarded(as_json, ctx):
        from engine.runs.backup.backup import BackupOptions, backup
        from engine.runs.shared.bounds import RunFlags
        from engine.runs.shared.command import flags
        from engine.runs.shared.options import duration_s, failure_classes, one_of
        from engine.runs.shared.profile import profiling

        tuned = {
            "concurrency": concurrency,
            "queue_size": queue_size,
            "batch_size": batch_size,
            "part_size_mb": part_size_mb,
            "max_file_size_mb": max_file_size_mb,
        }
        options = BackupOptions(
            full=one_of("--full", full, "--incremental", incremental),
            retry_classes=failure_classes(retry_class or []),
            transport=transport,
            new_database=new_database,
            flags=RunFlags(
                account=account,
                limit=limit,
                dry_run=dry_run,
                max_duration_s=duration_s(max_duration),
                repeated=flags(
                    account=account,
                    limit=limit,
                    **tuned,
                    extension=extension,
                    retry_class=retry_class,
                    transport=transport if transport != "fast" else None,
                ),
            ),
        )
        overrides = _migration(tuned) | {"migration.allowed_extensions": extension or None}
        settings = settings_for(ctx, config, overrides)
        with screen_for(progress) as screen, profiling(profile):
            report = perform(backup(settings, options, screen))
        answer(report, as_json)


def run_switch(
    ctx: typer.Context,
    execute: Execute = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Write a plan file and nothing else (the default).")
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Apply exactly this plan; with --dry-run: where to write it."),
    ] = None,
    wave: Annotated[int | None, typer.Option("--wave", min=1, metavar="N", help="Only this wave.")] = None,
    yes: Yes = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="25 records a call instead of 200, each written only if unmodified since it was read. Without it, an "
            "edit of it within the one round trip between its read and its write (the report says how many "
            "ms) is overwritten. Salesforce compares whole seconds and calls that weak validation.",
        ),
    ] = False,
    upload: Annotated[
        bool, typer.Option("--upload-rollback-file", help="Put the rollback file into the destination bucket too.")
    ] = False,
    account: Account = None,
    limit: Limit = None,
    max_duration: MaxDuration = None,
    retry_class: Annotated[
        list[str] | None,
        typer.Option("--retry-class", metavar="CLASS", help="Also what a switch failed with; repeatable."),
    ] = None,
    concurrency: WritesInFlight = None,
    batch_size: RecordsPerWrite = None,
    profile: Profile = None,
    progress: Progress = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Phase 2: move the links of proved files, wave by wave.

    Each link is read again before it is written; what somebody has edited since its backup stays. Every change is in
    the journal, durably, before it is sent.

    Examples:

      engine run switch --dry-run

      engine run switch --execute --plan migration_tracking.db.plan-20261122T100000000000Z.ndjson

      engine run switch --execute --wave 1

      engine run switch --execute --account 0013D00000AbcDeQAF --yes
    """
    with guarded(as_json, ctx):
        from engine.runs.links.switch import SwitchOptions, switch
        from engine.runs.shared.bounds import RunFlags
        from engine.runs.shared.command import flags
        from engine.runs.shared.options import dry_or, duration_s, failure_classes
        from engine.runs.shared.profile import profiling

        tuned = {"concurrency": concurrency, "batch_size": batch_size}
        options = SwitchOptions(
            plan=plan,
            wave=wave,
            yes=yes,
            strict=strict,
            upload=upload,
            retry_classes=failure_classes(retry_class or []),
            flags=RunFlags(
                account=account,
                limit=limit,
                dry_run=not dry_or("--execute", execute, dry_run=dry_run),
                max_duration_s=duration_s(max_duration),
                repeated=flags(
                    plan=plan,
                    wave=wave,
                    strict=strict,
                    upload_rollback_file=upload,
                    account=account,
                    limit=limit,
                    retry_class=retry_class,
                    **tuned,
                ),
            ),
        )
        settings = settings_for(ctx, config, _migration(tuned))
        with screen_for(progress) as screen, profiling(profile):
            answer(perform(switch(settings, options, screen)), as_json)


def run_rollback(
    ctx: typer.Context,
    from_database: Annotated[
        bool, typer.Option("--from-database", help="Undo what the tracking DB's journal knows.")
    ] = False,
    rollback_file: Annotated[
        Path | None,
        typer.Option("--rollback-file", metavar="FILE", help="Undo what this file of a switch knows; needs no DB."),
    ] = None,
    execute: Execute = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Read every record and say what would be done (the default).")
    ] = False,
    run: Annotated[int | None, typer.Option("--run", metavar="N", help="Only what this switch run changed.")] = None,
    wave: Annotated[int | None, typer.Option("--wave", metavar="N", help="Only this wave.")] = None,
    account: Account = None,
    ids: Annotated[Path | None, typer.Option("--ids", metavar="FILE", help="Only these records: an Id a line.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only changes from 2026-11-22T10:00:00Z on.")
    ] = None,
    yes: Yes = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although old links are dead, or the file lacks its last line.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="25 records a call, each only if unmodified since it was read.")
    ] = False,
    limit: Limit = None,
    max_duration: MaxDuration = None,
    concurrency: WritesInFlight = None,
    batch_size: RecordsPerWrite = None,
    profile: Profile = None,
    progress: Progress = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Put back the links that a switch changed, and no others.

    Only records that still hold our link get their original back, byte for byte. Doing it twice changes nothing more.
    A journal or file that was tampered with is refused before the first write (exit 6).

    Examples:

      engine run rollback --from-database --dry-run

      engine run rollback --from-database --run 12 --wave 3 --execute

      engine run rollback --rollback-file migration_tracking.db.rollback-12.ndjson --execute
    """
    with guarded(as_json, ctx):
        from engine.runs.links.rollback import RollbackOptions, rollback
        from engine.runs.shared.bounds import RunFlags
        from engine.runs.shared.command import flags
        from engine.runs.shared.options import dry_or, duration_s, one_of
        from engine.runs.shared.profile import profiling

        one_of("--from-database", from_database, "--rollback-file", rollback_file is not None)
        tuned = {"concurrency": concurrency, "batch_size": batch_size}
        options = RollbackOptions(
            file=rollback_file,
            run=run,
            wave=wave,
            ids=ids,
            since=since,
            yes=yes,
            force=force,
            strict=strict,
            flags=RunFlags(
                account=account,
                limit=limit,
                dry_run=not dry_or("--execute", execute, dry_run=dry_run),
                max_duration_s=duration_s(max_duration),
                repeated=flags(
                    from_database=from_database,
                    rollback_file=rollback_file,
                    run=run,
                    wave=wave,
                    account=account,
                    ids=ids,
                    since=since,
                    force=force,
                    strict=strict,
                    limit=limit,
                    **tuned,
                ),
            ),
        )
        settings = settings_for(ctx, config, _migration(tuned))
        with screen_for(progress) as screen, profiling(profile):
            answer(perform(rollback(settings, options, screen)), as_json)
