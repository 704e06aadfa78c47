"""Commands that only look and tell: status, audit, accounts, analyze."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.flags import Account, AsJson, Config, Export
from engine.commands.frame import guarded, perform, print_json, screen_for, settings_for, stdout


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
    export: Export = None,
    not_ready: Annotated[
        Path | None,
        typer.Option("--not-ready", metavar="FILE", help="Write who cannot be switched, and why, as CSV."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the above.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show what the tracking DB knows: counts, runs, failures.

    It only reads, and works while a run is going on.

    Examples:

      engine status

      engine status --errors --recent-errors 10

      engine status --all --export report.json
    """
    with guarded(as_json, ctx):
        from engine.runs.status.status import StatusOptions, show_status

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
        show_status(settings_for(ctx, config, {}), wanted, stdout())


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
    """Check the journal of link changes, and show its history.

    Exit 6 where the journal was tampered with.

    Whoever can change the DB can also change what lies beside it. The head in the bucket is out of their reach; the
    answer says whether it was compared.

    Examples:

      engine audit

      engine audit --bucket

      engine audit --record a0X3D00000AbcDeQAF

      engine audit --run 12 --json
    """
    with guarded(as_json, ctx):
        from engine.runs.journal.audit import AuditOptions, show_audit
        from engine.runs.journal.audit import audit as look

        found = perform(look(settings_for(ctx, config, {}), AuditOptions(record, account, run, limit, bucket)))
        if as_json:
            print_json(found)
        else:
            show_audit(found, stdout())
        raise typer.Exit(found["exit_code"])


def accounts(
    ctx: typer.Context,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Show at most N accounts.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List the accounts and their number of records, from Salesforce.

    Examples:

      engine accounts

      engine accounts --json
    """
    with guarded(as_json, ctx):
        from engine.runs.status.accounts import list_accounts, show_accounts

        found = perform(list_accounts(settings_for(ctx, config, {}), limit))
        if as_json:
            print_json(found)
        else:
            show_accounts(found, stdout())


def analyze(
    ctx: typer.Context,
    account: Account = None,
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
    export: Export = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Say how far it is; by default on a terminal.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Forecast a backup: files, bytes, problems, time and cost.

    It also tells of accounts, archives, links that do not fit, and requests. It only reads: records from Salesforce,
    listings and HEADs from the source. It works beside a run.

    Examples:

      engine analyze

      engine analyze --account 0013D00000AbcDeQAF --json

      engine analyze --archived to-restore.csv --export analysis.json
    """
    with guarded(as_json, ctx):
        from engine.runs.analyze.analyze import AnalyzeOptions
        from engine.runs.analyze.analyze import analyze as look
        from engine.runs.analyze.show import show_analysis
        from engine.runs.shared.signals import tidied

        options = AnalyzeOptions(account=account, limit=limit, sample=sample, archived=archived, export=export)
        settings = settings_for(ctx, config, {})
        with screen_for(progress) as screen:
            found = perform(tidied(look(settings, options, screen), screen.say))
        if as_json:
            print_json(found)
        else:
            show_analysis(found, stdout())
