"""``engine run``: backup, switch, rollback; the three commands that move files and links."""

from typing import Any

import typer

from engine.commands.flags import (
    Account,
    AsJson,
    BatchSize,
    Concurrency,
    Config,
    DryRun,
    Execute,
    Extension,
    Force,
    FromDatabase,
    Full,
    Ids,
    Incremental,
    Limit,
    MaxDuration,
    MaxFileSize,
    NewDatabase,
    OfRun,
    PartSize,
    Plan,
    PlanOnly,
    Profile,
    Progress,
    QueueSize,
    ReadOnly,
    RecordsPerWrite,
    RetryClass,
    Since,
    Strict,
    Transport,
    UndoFile,
    Upload,
    Wave,
    WritesInFlight,
    Yes,
)
from engine.commands.frame import answer, guarded, perform, screen_for, settings_for

ONCE = {
    "full", "incremental", "new_database", "execute", "dry_run", "yes", "max_duration", "progress", "profile",
    "as_json", "config",
}  # fmt: skip
"""Flags that the command which goes on does not repeat, or sets by itself."""


def run_backup(
    ctx: typer.Context,
    full: Full = False,
    incremental: Incremental = False,
    new_database: NewDatabase = False,
    account: Account = None,
    limit: Limit = None,
    dry_run: DryRun = None,
    max_duration: MaxDuration = None,
    progress: Progress = None,
    concurrency: Concurrency = None,
    queue_size: QueueSize = None,
    batch_size: BatchSize = None,
    part_size_mb: PartSize = None,
    max_file_size_mb: MaxFileSize = None,
    extension: Extension = None,
    retry_class: RetryClass = None,
    transport: Transport = "fast",
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
    with guarded(ctx):
        from engine.runs.backup.backup import BackupOptions, backup
        from engine.runs.shared.options import failure_classes, one_of

        options = BackupOptions(
            flags=_flags(ctx, account, limit, max_duration, dry_run),
            full=one_of("--full", full, "--incremental", incremental),
            retry_classes=failure_classes(retry_class or []),
            transport=transport,
            new_database=new_database,
        )
        numbers = {"queue_size": queue_size, "batch_size": batch_size, "part_size_mb": part_size_mb}
        files = {"max_file_size_mb": max_file_size_mb, "allowed_extensions": extension or None}
        _run(ctx, backup, options, concurrency=concurrency, **numbers, **files)


def run_switch(
    ctx: typer.Context,
    execute: Execute = False,
    dry_run: PlanOnly = False,
    plan: Plan = None,
    wave: Wave = None,
    yes: Yes = False,
    strict: Strict = False,
    upload_rollback_file: Upload = False,
    account: Account = None,
    limit: Limit = None,
    max_duration: MaxDuration = None,
    retry_class: RetryClass = None,
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
            retry_classes=failure_classes(retry_class or []),
        )
        _run(ctx, switch, options, concurrency=concurrency, batch_size=batch_size)


def run_rollback(
    ctx: typer.Context,
    from_database: FromDatabase = False,
    rollback_file: UndoFile = None,
    execute: Execute = False,
    dry_run: ReadOnly = False,
    run: OfRun = None,
    wave: Wave = None,
    account: Account = None,
    ids: Ids = None,
    since: Since = None,
    yes: Yes = False,
    force: Force = False,
    strict: Strict = False,
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

      engine run rollback --from-database --run 12 --wave 3 --execute

      engine run rollback --rollback-file migration_tracking.db.rollback-12.ndjson --execute
    """
    with guarded(ctx):
        from engine.runs.links.rollback import RollbackOptions, rollback
        from engine.runs.shared.options import dry_or, one_of

        one_of("--from-database", from_database, "--rollback-file", rollback_file is not None)
        options = RollbackOptions(
            flags=_flags(ctx, account, limit, max_duration, not dry_or("--execute", execute, dry_run=dry_run)),
            file=rollback_file,
            run=run,
            wave=wave,
            ids=ids,
            since=since,
            yes=yes,
            force=force,
            strict=strict,
        )
        _run(ctx, rollback, options, concurrency=concurrency, batch_size=batch_size)


def _run(ctx: typer.Context, work: Any, options: Any, **settings: object) -> None:
    """Do the work and report. ``settings``: flags that stand for the settings of that name under ``migration``."""
    from engine.runs.shared.profile import profiling

    found = settings_for(ctx, {f"migration.{name}": value for name, value in settings.items()})
    with screen_for(ctx) as screen, profiling(ctx.params["profile"]):
        report = perform(work(found, options, screen))
    answer(ctx, report)


def _flags(
    ctx: typer.Context, account: str | None, limit: int | None, max_duration: str | None, dry_run: bool | None
) -> Any:
    from engine.runs.shared.bounds import RunFlags
    from engine.runs.shared.command import flags
    from engine.runs.shared.options import duration_s

    names = [parameter.name for parameter in ctx.command.params if parameter.name not in ONCE]
    given = [name for name in names if name and str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")]
    return RunFlags(
        account=account,
        limit=limit,
        dry_run=dry_run,
        max_duration_s=duration_s(max_duration),
        repeated=flags(**{name: ctx.params[name] for name in given}),
    )
