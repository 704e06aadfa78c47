"""``engine run``: backup, switch, rollback; the three commands that move files and links."""

from typing import Any

import typer

from engine.commands import flags
from engine.commands.frame import answer, guarded, perform, screen_for, settings_file, settings_for

ONCE = {
    "full", "incremental", "new_database", "execute", "dry_run", "yes", "max_duration", "progress", "profile",
    "as_json", "config",
}  # fmt: skip
"""Flags that the command to go on with does not repeat, or sets by itself."""


def run_backup(
    ctx: typer.Context,
    full: flags.Full = False,
    incremental: flags.Incremental = False,
    new_database: flags.NewDatabase = False,
    account: flags.Account = None,
    limit: flags.Limit = None,
    dry_run: flags.DryRun = None,
    max_duration: flags.MaxDuration = None,
    progress: flags.Progress = None,
    concurrency: flags.Concurrency = None,
    queue_size: flags.QueueSize = None,
    batch_size: flags.BatchSize = None,
    part_size_mb: flags.PartSize = None,
    max_file_size_mb: flags.MaxFileSize = None,
    extension: flags.Extension = None,
    retry_class: flags.RetryClass = None,
    transport: flags.Transport = "fast",
    executor: flags.Executor = None,
    profile: flags.Profile = None,
    as_json: flags.AsJson = False,
    config: flags.Config = None,
) -> None:
    """Phase 1: copy every file, prove each copy, remember it.

    Salesforce is only read.

    Examples:

      engine run backup --full

      engine run backup --incremental --max-duration 6h

      engine run backup --full --account 0013D00000AbcDeQAF --limit 50 --dry-run
    """
    with guarded(ctx):
        from engine.runs.backup.backup import BackupOptions, backup
        from engine.runs.executors.open import Given, flags_of
        from engine.runs.shared.options import failure_classes, one_of

        numbers = {"queue_size": queue_size, "batch_size": batch_size, "part_size_mb": part_size_mb}
        files = {"max_file_size_mb": max_file_size_mb, "allowed_extensions": extension or None}
        migration = _of_migration(concurrency=concurrency, **numbers, **files)
        options = BackupOptions(
            flags=_flags(ctx, account, limit, max_duration, dry_run),
            full=one_of("--full", full, "--incremental", incremental),
            retry_classes=failure_classes(retry_class or []),
            transport=transport,
            new_database=new_database,
            given=Given(settings_file(ctx), migration),
        )
        _run(ctx, backup, options, migration | flags_of(executor))


def run_switch(
    ctx: typer.Context,
    execute: flags.Execute = False,
    dry_run: flags.PlanOnly = False,
    plan: flags.Plan = None,
    wave: flags.Wave = None,
    yes: flags.Yes = False,
    strict: flags.Strict = False,
    force: flags.ForceLinks = False,
    upload_rollback_file: flags.Upload = False,
    account: flags.Account = None,
    limit: flags.Limit = None,
    max_duration: flags.MaxDuration = None,
    retry_class: flags.RetryClass = None,
    concurrency: flags.WritesInFlight = None,
    batch_size: flags.RecordsPerWrite = None,
    profile: flags.Profile = None,
    progress: flags.Progress = None,
    as_json: flags.AsJson = False,
    config: flags.Config = None,
) -> None:
    """Phase 2: move the links of proved files, wave by wave.

    Each link is read again before it is written; what somebody has edited since its backup stays. Every change is in
    the journal, durably, before it is sent.

    Examples:

      engine run switch --dry-run

      engine run switch --execute --plan migration_tracking.db.plan-20261122T100000000000Z.ndjson

      engine run switch --execute --account 0013D00000AbcDeQAF --yes
    """
    with guarded(ctx):
        from engine.runs.links.switch import SwitchOptions, switch
        from engine.runs.shared.options import dry_or, failure_classes

        options = SwitchOptions(
            flags=_flags(ctx, account, limit, max_duration, not dry_or("--execute", execute, dry_run=dry_run)),
            plan=plan,
            wave=wave,
            yes=yes,
            strict=strict,
            upload=upload_rollback_file,
            force=force,
            retry_classes=failure_classes(retry_class or []),
        )
        _run(ctx, switch, options, _of_migration(concurrency=concurrency, batch_size=batch_size))


def run_rollback(
    ctx: typer.Context,
    from_database: flags.FromDatabase = False,
    rollback_file: flags.UndoFile = None,
    from_bucket: flags.FromBucket = False,
    journal: flags.JournalName = None,
    execute: flags.Execute = False,
    dry_run: flags.ReadOnly = False,
    run: flags.OfRun = None,
    wave: flags.Wave = None,
    account: flags.Account = None,
    ids: flags.Ids = None,
    since: flags.Since = None,
    yes: flags.Yes = False,
    force: flags.Force = False,
    strict: flags.Strict = False,
    limit: flags.Limit = None,
    max_duration: flags.MaxDuration = None,
    concurrency: flags.WritesInFlight = None,
    batch_size: flags.RecordsPerWrite = None,
    profile: flags.Profile = None,
    progress: flags.Progress = None,
    as_json: flags.AsJson = False,
    config: flags.Config = None,
) -> None:
    """Put back the links that a switch changed, and no others.

    Only records that still hold our link get their original back. A tampered journal or file is refused (exit 6).

    Examples:

      engine run rollback --from-database --run 12 --wave 3 --execute

      engine run rollback --rollback-file migration_tracking.db.rollback-12.ndjson --execute

      engine run rollback --from-bucket --execute
    """
    with guarded(ctx):
        from engine.runs.links.rollback import rollback
        from engine.runs.links.rollback_options import RollbackOptions
        from engine.runs.shared.options import dry_or, exactly_one, goes_with

        file = rollback_file is not None
        exactly_one({"--from-database": from_database, "--rollback-file": file, "--from-bucket": from_bucket})
        goes_with("--journal", journal is not None, "--from-bucket", from_bucket)
        options = RollbackOptions(
            flags=_flags(ctx, account, limit, max_duration, not dry_or("--execute", execute, dry_run=dry_run)),
            file=rollback_file,
            from_bucket=from_bucket,
            journal=journal,
            run=run,
            wave=wave,
            ids=ids,
            since=since,
            yes=yes,
            force=force,
            strict=strict,
        )
        _run(ctx, rollback, options, _of_migration(concurrency=concurrency, batch_size=batch_size))


def _of_migration(**flags_given: object) -> dict[str, Any]:
    """Flags that stand for the settings of that name under ``migration``."""
    return {f"migration.{name}": value for name, value in flags_given.items()}


def _run(ctx: typer.Context, work: Any, options: Any, settings: dict[str, Any]) -> None:
    """Do the work and report. ``settings``: flags that stand for settings, by dotted key."""
    from engine.runs.shared.profile import profiling

    found = settings_for(ctx, settings)
    with screen_for(ctx) as screen, profiling(ctx.params["profile"]):
        running = work(found, options, screen)
        if found.attended:  # what that imports costs every start
            from engine.desk.attendance import attended
            from engine.limiting.clock import SystemClock

            running = attended(found, f"run {ctx.command.name}", running, SystemClock(), screen.say)
        report = perform(running)
    answer(ctx, report)


def _flags(
    ctx: typer.Context, account: str | None, limit: int | None, max_duration: str | None, dry_run: bool | None
) -> Any:
    from engine.runs.shared.bounds import RunFlags
    from engine.runs.shared.command import as_flags
    from engine.runs.shared.options import duration_s

    names = [parameter.name for parameter in ctx.command.params if parameter.name not in ONCE]
    given = [name for name in names if name and str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")]
    return RunFlags(
        account=account,
        limit=limit,
        dry_run=dry_run,
        max_duration_s=duration_s(max_duration),
        repeated=as_flags(**{name: ctx.params[name] for name in given}),
    )
