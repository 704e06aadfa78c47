"""The command line: parse, load settings, hand over to ``engine.runs``, report, exit code. Nothing is opened here.

Imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from engine import __version__

if TYPE_CHECKING:
    from engine.settings import Settings

EXITS = """Exit codes: 0 done; 1 unexpected failure; 2 usage or settings; 3 finished, some records failed;
4 refused before starting; 5 stopped early, resumable; 6 differences found; 11 another run holds the lock;
130, 143 signal, resumable."""

LOGS = "engine.logs"
"""Where the click context keeps the log directory, once the settings have told it."""

app = typer.Typer(
    name="engine",
    help="Moves files from a vendor's S3 bucket into your own, driven by Salesforce records, tracked in SQLite.",
    epilog=EXITS,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,  # plain help: importing rich for it would double the time that --help takes
    context_settings={"help_option_names": ["-h", "--help"]},
)
run_app = typer.Typer(help="Start a run: backup, switch, rollback.", no_args_is_help=True)
db_app = typer.Typer(help="Look after the tracking DB.", no_args_is_help=True)
app.add_typer(run_app, name="run")
app.add_typer(db_app, name="db")

ConfigOrVariable = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", envvar="ENGINE_CONFIG", help="Settings file [./settings.yaml]."),
]
Config = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The same, given here.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on stdout.")]


def main() -> None:
    """The console command."""
    gc.set_threshold(50_000)  # imports make no garbage: looking for it took a tenth of a command's start
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"engine {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    config: ConfigOrVariable = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that every command shares."""
    ctx.obj = config


@run_app.command("backup")
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
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's records.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most N records.")] = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run/--no-dry-run", "-n", help="Say what would be done; write nothing.")
    ] = None,
    max_duration: Annotated[
        str | None, typer.Option("--max-duration", metavar="TIME", help="Stop cleanly after 90s, 30m, 6h … (exit 5).")
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Live display; by default on a terminal.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", metavar="N", help="Copies in flight.")] = None,
    queue_size: Annotated[int | None, typer.Option("--queue-size", metavar="N", help="Plans waiting.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", help="Outcomes per commit.")] = None,
    part_size_mb: Annotated[
        int | None, typer.Option("--part-size-mb", metavar="N", help="Multipart part size.")
    ] = None,
    max_file_size_mb: Annotated[
        float | None, typer.Option("--max-file-size-mb", metavar="N", help="Larger files are skipped.")
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
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="FILE", help="Write where the time goes: text, or a page if FILE is .html."),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Phase 1: copy every file, prove each copy, remember it. Salesforce is only read.

    Examples:

      engine run backup --full

      engine run backup --incremental --max-duration 6h

      engine run backup --full --account 0013D00000AbcDeQAF --limit 50 --dry-run
    """
    with _guarded(as_json, ctx):
        from engine.runs.backup import BackupOptions, backup
        from engine.runs.options import duration_s, failure_classes, one_of
        from engine.runs.profile import profiling

        overrides = {
            "migration.concurrency": concurrency,
            "migration.queue_size": queue_size,
            "migration.batch_size": batch_size,
            "migration.part_size_mb": part_size_mb,
            "migration.max_file_size_mb": max_file_size_mb,
            "migration.allowed_extensions": extension or None,
        }
        options = BackupOptions(
            full=one_of("--full", full, "--incremental", incremental),
            account=account,
            limit=limit,
            dry_run=dry_run,
            max_duration_s=duration_s(max_duration),
            retry_classes=failure_classes(retry_class or []),
            transport=transport,
        )
        settings = _settings(ctx, config, overrides)
        with _console(progress) as screen, profiling(profile):
            report = _run(backup(settings, options, screen))
        if as_json:
            _print_json(report.as_json())
        else:
            for line in report.lines():
                typer.echo(line)
        raise typer.Exit(report.exit_code)


@run_app.command("switch")
def run_switch(
    ctx: typer.Context,
    execute: Annotated[bool, typer.Option("--execute", help="Really change links in Salesforce.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Write a plan file and nothing else (the default).")
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Apply exactly this plan; with --dry-run: where to write it."),
    ] = None,
    wave: Annotated[int | None, typer.Option("--wave", min=1, metavar="N", help="Only this wave.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; needed off a terminal.")] = False,
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
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's records.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most N records.")] = None,
    max_duration: Annotated[
        str | None, typer.Option("--max-duration", metavar="TIME", help="Stop cleanly after 90s, 30m, 6h … (exit 5).")
    ] = None,
    retry_class: Annotated[
        list[str] | None,
        typer.Option("--retry-class", metavar="CLASS", help="Also what a switch failed with; repeatable."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", metavar="N", help="Writes in flight; never more than 4.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Records per write; never more than 200.")
    ] = None,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress", help="Say how far it is.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Phase 2: move the links of proved files to their copies, wave by wave, with a way back.

    Each link is read again before it is written; what somebody has edited since its backup stays. Every change is in
    the journal, durably, before it is sent.

    Examples:

      engine run switch --dry-run

      engine run switch --execute --plan migration_tracking.db.plan-20261122T100000000000Z.ndjson

      engine run switch --execute --wave 1

      engine run switch --execute --account 0013D00000AbcDeQAF --yes
    """
    with _guarded(as_json, ctx):
        from engine.runs.options import dry_or, duration_s, failure_classes
        from engine.runs.switch import SwitchOptions, switch

        options = SwitchOptions(
            execute=dry_or("--execute", execute, dry_run=dry_run),
            plan=plan,
            wave=wave,
            yes=yes,
            strict=strict,
            upload=upload,
            account=account,
            limit=limit,
            max_duration_s=duration_s(max_duration),
            retry_classes=failure_classes(retry_class or []),
        )
        overrides = {"migration.concurrency": concurrency, "migration.batch_size": batch_size}
        settings = _settings(ctx, config, overrides)
        with _console(progress) as screen:
            _answer(_run(switch(settings, options, screen)), as_json)


@run_app.command("rollback")
def run_rollback(
    ctx: typer.Context,
    from_database: Annotated[
        bool, typer.Option("--from-database", help="Undo what the tracking DB's journal knows.")
    ] = False,
    rollback_file: Annotated[
        Path | None,
        typer.Option("--rollback-file", metavar="FILE", help="Undo what this file of a switch knows; needs no DB."),
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Really change links in Salesforce.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Read every record and say what would be done (the default).")
    ] = False,
    run: Annotated[int | None, typer.Option("--run", metavar="N", help="Only what this switch run changed.")] = None,
    wave: Annotated[int | None, typer.Option("--wave", metavar="N", help="Only this wave.")] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's records.")] = None,
    ids: Annotated[Path | None, typer.Option("--ids", metavar="FILE", help="Only these records: an Id a line.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only changes from 2026-11-22T10:00:00Z on.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; needed off a terminal.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although old links are dead, or the file lacks its last line.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="25 records a call, each only if unmodified since it was read.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most N records.")] = None,
    max_duration: Annotated[
        str | None, typer.Option("--max-duration", metavar="TIME", help="Stop cleanly after 90s, 30m, 6h … (exit 5).")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", metavar="N", help="Writes in flight; never more than 4.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Records per write; never more than 200.")
    ] = None,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress", help="Say how far it is.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Put links back: exactly what a switch has changed, and nothing that somebody has edited since.

    Only records that still hold our link get their original back, byte for byte. Doing it twice changes nothing more.
    A journal or file that was tampered with is refused before the first write (exit 6).

    More than 50,000 links (switch.bulk_rollback_from) go through jobs of Bulk API 2.0, 10,000 a job. Each record is
    read right before its job starts, but Salesforce may take seconds, in a busy org minutes, to come to it: an edit of
    that record in between is overwritten. With --strict, or bulk_rollback_from: null, jobs are not used.

    Examples:

      engine run rollback --from-database --dry-run

      engine run rollback --from-database --run 12 --wave 3 --execute

      engine run rollback --rollback-file migration_tracking.db.rollback-12.ndjson --execute
    """
    with _guarded(as_json, ctx):
        from engine.runs.options import dry_or, duration_s, one_of
        from engine.runs.rollback import RollbackOptions, rollback

        one_of("--from-database", from_database, "--rollback-file", rollback_file is not None)
        options = RollbackOptions(
            file=rollback_file,
            execute=dry_or("--execute", execute, dry_run=dry_run),
            run=run,
            wave=wave,
            account=account,
            ids=ids,
            since=since,
            yes=yes,
            force=force,
            strict=strict,
            limit=limit,
            max_duration_s=duration_s(max_duration),
        )
        overrides = {"migration.concurrency": concurrency, "migration.batch_size": batch_size}
        settings = _settings(ctx, config, overrides)
        with _console(progress) as screen:
            _answer(_run(rollback(settings, options, screen)), as_json)


@app.command()
def audit(
    ctx: typer.Context,
    record: Annotated[str | None, typer.Option("--record", metavar="ID", help="The history of one record.")] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Of one account's records.")] = None,
    run: Annotated[int | None, typer.Option("--run", metavar="N", help="Of one run.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="The last N steps of it [200].")
    ] = None,
    bucket: Annotated[
        bool | None,
        typer.Option(
            "--bucket/--no-bucket",
            help="Hold it against the head in the destination bucket too: insist (exit 4 where that cannot be read), "
            "or do not ask. By default: where it answers within seconds.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Check that the journal of link changes is whole, and tell its history. Exit 6 where it was tampered with.

    Whoever can change the DB can also change what lies beside it. The head in the bucket is out of their reach; the
    answer says whether it was compared.

    Examples:

      engine audit

      engine audit --bucket

      engine audit --record a0X3D00000AbcDeQAF

      engine audit --run 12 --json
    """
    with _guarded(as_json, ctx):
        from engine.runs.audit import AuditOptions, show_audit
        from engine.runs.audit import audit as look

        found = _run(look(_settings(ctx, config, {}), AuditOptions(record, account, run, limit, bucket)))
        if as_json:
            _print_json(found)
        else:
            show_audit(found, _stdout())
        raise typer.Exit(found["exit_code"])


@app.command()
def status(
    ctx: typer.Context,
    overview: Annotated[bool, typer.Option("--overview", help="Counts by state (the default).")] = False,
    runs: Annotated[bool, typer.Option("--runs", help="The last runs.")] = False,
    accounts: Annotated[bool, typer.Option("--accounts", help="Counts per account.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="Failures by class.")] = False,
    recent_errors: Annotated[
        int | None, typer.Option("--recent-errors", min=1, metavar="N", help="The last N errors, one by one.")
    ] = None,
    readiness: Annotated[bool, typer.Option("--readiness", help="Which records could be switched.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the whole report as JSON.")
    ] = None,
    not_ready: Annotated[
        Path | None,
        typer.Option("--not-ready", metavar="FILE", help="Write who cannot be switched, and why, as CSV."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the above.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """What the tracking DB knows. Reads only; works while a run is going on.

    Examples:

      engine status

      engine status --errors --recent-errors 10

      engine status --all --export report.json
    """
    with _guarded(as_json, ctx):
        from engine.runs.status import StatusOptions, show_status

        wanted = StatusOptions(
            overview=overview or everything,
            runs=runs or everything,
            accounts=accounts or everything,
            errors=errors or everything,
            recent_errors=recent_errors if recent_errors is not None else (10 if everything else None),
            readiness=readiness or everything,
            export=export,
            not_ready=not_ready,
            as_json=as_json,
        )
        show_status(_settings(ctx, config, {}), wanted, _stdout())


@app.command()
def sweep(
    ctx: typer.Context,
    host: Annotated[
        list[str] | None, typer.Option("--host", metavar="HOST", help="Search for this host too; repeatable.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--object", metavar="NAME", help="Search only this object; repeatable.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Rows read per object where text cannot be filtered.")
    ] = 100_000,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look for new and changed records with vendor links, again and again.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="With --watch: one round, for cron.")] = False,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="With --watch: the time between rounds.")
    ] = "15m",
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="With --watch: from when on, UTC [24 hours ago].")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Search every text field of every object for links to the vendor: may it be cancelled? Nothing is written.

    Exit 0: nothing points there; 6: something does; 3: nothing was found, but not everything could be searched.

    Examples:

      engine sweep

      engine sweep --host files.vendor.example --json > sweep.json

      engine sweep --watch --once --since 2026-11-22T00:00:00Z
    """
    with _guarded(as_json, ctx):
        from engine.runs.options import duration_s, moment
        from engine.runs.sweep import SweepOptions
        from engine.runs.sweep import sweep as search
        from engine.runs.sweep_report import show_swept

        options = SweepOptions(
            hosts=tuple(host or ()),
            objects=tuple(only or ()),
            limit=limit,
            watch=watch or once,
            once=once,
            every_s=duration_s(every, "--every") or 900.0,
            since=moment(since, "--since"),
        )
        settings = _settings(ctx, config, {})
        with _console(None) as screen:
            found = _run(search(settings, options, screen))
        if as_json:
            _print_json(found.as_json())
        else:
            show_swept(found, _stdout(), watched=options.watch)
        raise typer.Exit(found.exit_code)


@app.command()
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
    """Take records out of the readiness sum, on record: who, when and why. Nothing else changes.

    For records that will never be switched and that somebody has agreed to leave behind.

    Examples:

      engine waive a0X5g00000AbcDeEAF --reason "deleted by the customer, ticket 4711"

      engine waive --file missing.txt --reason "lost at the vendor, agreed with legal on 2026-11-20"

      engine waive a0X5g00000AbcDeEAF --undo --reason "the vendor found the file"
    """
    with _guarded(as_json, ctx):
        from engine.runs.waive import ids_in
        from engine.runs.waive import waive as note

        chosen = [*(ids or []), *(ids_in(file) if file else ())]
        _answer(_run(note(_settings(ctx, config, {}), chosen, reason=reason, undo=undo)), as_json)


@app.command()
def doctor(
    ctx: typer.Context,
    purpose: Annotated[
        Literal["backup", "switch"],
        typer.Option("--for", help="Judge for a backup, or for a switch: then links that users cannot open block."),
    ] = "backup",
    scan: Annotated[
        int, typer.Option("--scan", min=1, metavar="N", help="Records whose future links are measured.")
    ] = 10_000,
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=100, metavar="N", help="Files read, and new links opened.")
    ] = 5,
    iam: Annotated[bool, typer.Option("--iam", help="Print least-privilege IAM policies; look at nothing.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Look at everything that could go wrong, before anything is done. Each finding names its fix. Exit 4: a blocker.

    Salesforce and the source are only read; one small object is written to your bucket and deleted again.

    Examples:

      engine doctor

      engine doctor --for switch --scan 2000000

      engine doctor --iam > policies.json
    """
    with _guarded(as_json, ctx):
        from engine.runs.doctor import DoctorOptions, show_diagnosis
        from engine.runs.doctor import doctor as look
        from engine.runs.iam import policies

        settings = _settings(ctx, config, {})
        if iam:
            _print_json(policies(settings))
            return
        file = config or ctx.obj or Path("settings.yaml")
        found = _run(look(settings, DoctorOptions(file, purpose, scan, samples)))
        if as_json:
            _print_json(found.as_json())
        else:
            show_diagnosis(found, _stdout())
        raise typer.Exit(found.exit_code)


@app.command()
def verify(
    ctx: typer.Context,
    level: Annotated[
        Literal["list", "head", "deep"],
        typer.Option("--level", help="One listing; a HEAD per copy; or every byte read and hashed again."),
    ] = "list",
    source: Annotated[
        bool, typer.Option("--source", help="Ask the source side too: changed since the copy, or gone.")
    ] = False,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="N|P%", help="Only a random sample of the copies.")
    ] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's records.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most N copies.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write a line per record that does not match.")
    ] = None,
    report_all: Annotated[bool, typer.Option("--report-all", help="With --report: the matching ones too.")] = False,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress", help="Say how far it is.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Prove that what the tracking DB claims is so: every copy is there, and holds what was copied.

    The report file has five signs: = as recorded, * differs, - missing at the destination, + missing at the source,
    ! could not be looked at. Exit 6 where anything differs or is missing at the destination.

    Examples:

      engine verify

      engine verify --source --report mismatches.txt

      engine verify --level deep --sample 1%
    """
    with _guarded(as_json, ctx):
        from engine.runs.sampling import sample as sampled
        from engine.runs.verify import VerifyOptions
        from engine.runs.verify import verify as look

        options = VerifyOptions(
            level=level,
            source=source,
            sample=sampled(sample),
            account=account,
            limit=limit,
            report=report,
            report_all=report_all,
        )
        settings = _settings(ctx, config, {})
        with _console(progress) as screen:
            _answer(_run(look(settings, options, screen)), as_json)


@app.command()
def accounts(
    ctx: typer.Context,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Show at most N accounts.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List the accounts that have files, with their number of records, straight from Salesforce.

    Examples:

      engine accounts

      engine accounts --json
    """
    with _guarded(as_json, ctx):
        from engine.runs.accounts import list_accounts, show_accounts

        found = _run(list_accounts(_settings(ctx, config, {}), limit))
        if as_json:
            _print_json(found)
        else:
            show_accounts(found, _stdout())


@app.command()
def analyze(
    ctx: typer.Context,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's records.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N records, by Id.")
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", min=0, metavar="N", help="About so many HEADs, for sizes that no listing told; 0: none."
        ),
    ] = 2000,
    archived: Annotated[
        Path | None,
        typer.Option("--archived", metavar="FILE", help="List the archived objects: NDJSON, or CSV as FILE.csv."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the whole report as JSON.")
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Say how far it is; by default on a terminal.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """What a backup would meet: files, bytes, accounts, links that do not fit, archives, time, requests, cost.

    Reads only: records from Salesforce, listings and HEADs from the source. Works beside a run.

    Examples:

      engine analyze

      engine analyze --account 0013D00000AbcDeQAF --json

      engine analyze --archived to-restore.csv --export analysis.json
    """
    with _guarded(as_json, ctx):
        from engine.runs.analyze import AnalyzeOptions
        from engine.runs.analyze import analyze as look
        from engine.runs.analyze_show import show_analysis

        options = AnalyzeOptions(account=account, limit=limit, sample=sample, archived=archived, export=export)
        settings = _settings(ctx, config, {})
        with _console(progress) as screen:
            found = _run(look(settings, options, screen))
        if as_json:
            _print_json(found)
        else:
            show_analysis(found, _stdout())


@app.command()
def tune(
    ctx: typer.Context,
    real: Annotated[
        bool,
        typer.Option("--real/--rehearse", help="The endpoints of the settings, or local stand-ins (the default)."),
    ] = False,
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="With --real: copy, under a prefix of its own in the destination.")
    ] = False,
    concurrency: Annotated[
        list[int] | None,
        typer.Option("--concurrency", min=1, max=4096, metavar="N", help="Try this one; repeatable."),
    ] = None,
    records: Annotated[
        int, typer.Option("--records", min=50, metavar="N", help="Records of each rehearsed backup.")
    ] = 600,
    requests: Annotated[
        int, typer.Option("--requests", min=10, max=10_000, metavar="N", help="With --real: requests per setting.")
    ] = 400,
    latency_ms: Annotated[
        float, typer.Option("--latency-ms", min=0, max=5000, metavar="MS", help="How far away the stand-ins are.")
    ] = 20.0,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Measure which concurrency, queue size and batch size are enough; prints the settings to use.

    With --real the source sees a bounded number of HEADs, or GETs of small files; nothing is written unless allowed.

    Examples:

      engine tune

      engine tune --real --requests 1000 --concurrency 50 --concurrency 200 --concurrency 800
    """
    with _guarded(as_json, ctx):
        from engine.runs.tune import CONCURRENCY, TuneOptions, tune_rehearsed
        from engine.runs.tune_real import tune_real
        from engine.runs.tune_show import show_sweep

        options = TuneOptions(allow_writes, records, requests, tuple(sorted(concurrency or CONCURRENCY)), latency_ms)
        with _console(None) as screen:
            work = tune_real(_settings(ctx, config, {}), options, screen.say) if real else None
            found = _run(work or tune_rehearsed(options, screen.say))
        if as_json:
            _print_json(found.as_json())
        else:
            show_sweep(found, _stdout())


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write.", metavar="FILE")] = Path("settings.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented settings.yaml with every key and its default.

    Example:

      engine init
    """
    with _guarded():
        from engine.runs.init import write_settings

        write_settings(file, force=force)
        typer.echo(f"Wrote {file} (mode 0600). Fill in salesforce, source and destination; secrets go into the")
        typer.echo("environment, for example ENGINE_SALESFORCE__CLIENT_SECRET. Then: engine accounts")


@db_app.command("snapshot")
def db_snapshot(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The snapshot to write; must not exist yet.", metavar="FILE")],
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Copy the tracking DB to FILE, consistent to the last commit, also while a run is writing.

    Example:

      engine db snapshot /backup/tracking-2026-11-22.db
    """
    with _guarded(as_json, ctx):
        from engine.runs.snapshot import take_snapshot

        taken = take_snapshot(_settings(ctx, config, {}), file)
        if as_json:
            _print_json(taken)
        else:
            typer.echo(f"Wrote {file}: {taken['records']:,} records, {taken['bytes']:,} bytes, checked.")


@app.command()
def rehearse(
    records: Annotated[int, typer.Option("--records", min=1, metavar="N", help="Salesforce records to make.")] = 1000,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where settings.yaml and the data go.")
    ] = Path("rehearsal"),
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same data.")] = 1,
) -> None:
    """Start the local stand-ins of Salesforce and S3, filled with realistic data, and leave them running.

    Writes DIR/settings.yaml; Ctrl-C stops the stand-ins.

    Example:

      engine rehearse --records 20000
    """
    with _guarded():
        from engine.runs.rehearse import rehearse as start

        raise typer.Exit(start(records, directory, seed, _stderr()))


@app.command()
def demo(
    records: Annotated[int, typer.Option("--records", min=500, metavar="N", help="Records in the story.")] = 1500,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where the story leaves its database and logs.")
    ] = Path("rehearsal/demo"),
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same story.")] = 1,
) -> None:
    """One command, a whole story against local stand-ins: backup, kill, resume, verify, switch, rollback, audit.

    Example:

      engine demo
    """
    with _guarded():
        from engine.runs.demo import demo as tell

        raise typer.Exit(tell(records, directory, seed, _stdout()))


def _answer(report: Any, as_json: bool) -> None:
    """Print a report in the form asked for, and end with its exit code."""
    if as_json:
        _print_json(report.as_json())
    else:
        for line in report.lines():
            typer.echo(line)
    raise typer.Exit(report.exit_code)


def _settings(ctx: typer.Context, config: Path | None, overrides: dict[str, Any]) -> Settings:
    from engine.settings_load import load_settings

    given = config or ctx.obj
    flags = {key: value for key, value in overrides.items() if value is not None}
    settings = load_settings(given or Path("settings.yaml"), environ=os.environ, overrides=flags)
    ctx.meta[LOGS] = settings.logging.directory
    return settings


def _run(work: Any) -> Any:
    """Run a coroutine on the fastest loop there is."""
    from engine.runs.runtime import tune_process

    tune_process()
    if sys.platform == "win32":
        import asyncio

        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)


def _stdout() -> Any:
    from rich.console import Console

    # off a terminal there is no width to fit: tables keep their lines whole
    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextmanager
def _console(progress: bool | None) -> Iterator[Any]:
    from engine.runs.screen import Screen

    console = _stderr()
    live = console.is_terminal if progress is None else progress
    yield Screen(console, live=live and console.is_terminal, quiet=progress is False)


def _print_json(document: Any) -> None:
    from engine.runs.report import document_text

    sys.stdout.write(document_text(document))


@contextmanager
def _guarded(as_json: bool = False, ctx: typer.Context | None = None) -> Iterator[None]:
    """Errors become one clear message and the right exit code; a crash leaves a file in the log directory."""
    try:
        yield
    except (typer.Exit, typer.Abort, KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:
        from engine.runs.report import first_fatal

        fatal = first_fatal(error)
        if fatal is None:
            if not isinstance(error, Exception):
                raise
            from engine.log import crash_file

            file = crash_file(ctx.meta.get(LOGS, Path("logs")) if ctx else Path("logs"), error)
            typer.echo(f"engine: unexpected {type(error).__name__}; details are in {file}", err=True)
            typer.echo("What was recorded is safe; the same command resumes.", err=True)
            raise typer.Exit(1) from None
        if as_json:
            _print_json({"error": str(fatal), "hint": fatal.hint, "exit_code": fatal.exit_code})
        typer.echo(f"engine: {fatal}", err=True)
        if fatal.hint:
            typer.echo(f"  {fatal.hint}", err=True)
        raise typer.Exit(fatal.exit_code) from None


if __name__ == "__main__":
    main()
