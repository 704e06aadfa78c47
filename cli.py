"""The command line: parse, load settings, hand over to ``engine.runs``, report, exit code. Nothing is opened here.

Imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

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
4 refused before starting; 5 stopped early, resumable; 11 another run holds the lock; 130, 143 signal, resumable."""

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
run_app = typer.Typer(help="Start a run: backup.", no_args_is_help=True)
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
            as_json=as_json,
        )
        show_status(_settings(ctx, config, {}), wanted, _stdout())


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
    records: Annotated[int, typer.Option("--records", min=100, metavar="N", help="Records in the story.")] = 1500,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where the story leaves its database and logs.")
    ] = Path("rehearsal/demo"),
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same story.")] = 1,
) -> None:
    """One command, a whole story against local stand-ins: backup, a kill, a resume, an incremental run, the status.

    Example:

      engine demo
    """
    with _guarded():
        from engine.runs.demo import demo as tell

        raise typer.Exit(tell(records, directory, seed, _stdout()))


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
