"""Commands that only read and report: status, audit, accounts, analyze."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.completion import offered
from engine.commands.flags import Account, AsJson, Config, Export, Progress, flag, value
from engine.commands.frame import guarded, perform, screen_for, settings_for, show, stdout

NotReady = Annotated[
    Path | None, value("--not-ready", "FILE", "Write the records that cannot be switched, and why, as CSV.")
]
Bucket = Annotated[
    bool | None,
    flag(
        "--bucket/--no-bucket",
        "Compare with the chain tip in the destination bucket: always (exit 4 if it cannot be read), or never. "
        "By default: if it answers within seconds.",
    ),
]


def status(
    ctx: typer.Context,
    overview: Annotated[bool, flag("--overview", "Counts by state (the default).")] = False,
    runs: Annotated[bool, flag("--runs", "The last runs.")] = False,
    accounts: Annotated[bool, flag("--accounts", "Counts per account.")] = False,
    errors: Annotated[bool, flag("--errors", "Failures by class.")] = False,
    recent_errors: Annotated[int | None, value("--recent-errors", "N", "The last N errors, one by one.", min=1)] = None,
    readiness: Annotated[bool, flag("--readiness", "Which records could be switched.")] = False,
    export: Export = None,
    not_ready: NotReady = None,
    everything: Annotated[bool, flag("--all", "All of the above.")] = False,
    run_settings: Annotated[bool, flag("--run-settings", "With --json: the settings that each run had.")] = False,
    watch: Annotated[bool, flag("--watch", "Show it anew every 2 s, with small charts, until Ctrl-C.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show what the tracking DB knows: counts, runs, failures.

    It only reads, and can be used during a run.

    Examples:

      engine status

      engine status --watch

      engine status --errors --recent-errors 10

      engine status --all --export report.json
    """
    with guarded(ctx):
        from engine.runs.shared.options import goes_with
        from engine.runs.status.status import StatusOptions, show_status

        goes_with("--run-settings", run_settings, "--json", as_json)
        named = {"overview": overview, "runs": runs, "accounts": accounts, "errors": errors, "readiness": readiness}
        parts = frozenset(name for name, given in named.items() if given or everything)
        recent = recent_errors or (10 if everything else 0)
        wanted = StatusOptions(parts, recent, export, not_ready, as_json, run_settings)
        if not watch:
            show_status(settings_for(ctx), wanted, stdout())
            return
        from engine.limiting.clock import SystemClock
        from engine.runs.shared.signals import until_signal
        from engine.runs.status.watch import watch as show_again

        perform(until_signal(show_again(settings_for(ctx), wanted, stdout(), SystemClock())))


def audit(
    ctx: typer.Context,
    record: Annotated[str | None, value("--record", "ID", "The history of one record.")] = None,
    account: Annotated[
        str | None,
        value("--account", "ID", "The history of one account's records.", autocompletion=offered("accounts")),
    ] = None,
    run: Annotated[int | None, value("--run", "N", "The history of one run.")] = None,
    limit: Annotated[int | None, value("--limit", "N", "Show the last N steps (default 200).", min=1)] = None,
    bucket: Bucket = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Check the journal of link changes, and show its history.

    Exit 6: the journal was tampered with.

    Whoever can change the DB can also change the files beside it, but not what the bucket keeps of the journal. The
    answer says whether that was compared.

    Examples:

      engine audit

      engine audit --record a0X3D00000AbcDeQAF

      engine audit --run 12 --json
    """
    with guarded(ctx):
        from engine.runs.journal.audit import AuditOptions, after_audit, show_audit
        from engine.runs.journal.audit import audit as check

        found = perform(check(settings_for(ctx), AuditOptions(record, account, run, limit, bucket)))
        show(ctx, found, show_audit, after_audit(found))


def accounts(
    ctx: typer.Context,
    limit: Annotated[int | None, value("--limit", "N", "Show at most N accounts.", min=1)] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List accounts in Salesforce, with their number of records.

    Examples:

      engine accounts

      engine accounts --json
    """
    with guarded(ctx):
        from engine.runs.status.accounts import NEXT, list_accounts, show_accounts

        show(ctx, perform(list_accounts(settings_for(ctx), limit)), show_accounts, NEXT)


def analyze(
    ctx: typer.Context,
    account: Account = None,
    limit: Annotated[int | None, value("--limit", "N", "Only the first N records, by Id.", min=1)] = None,
    sample: Annotated[
        int,
        value("--sample", "N", "About how many HEADs for sizes that no listing gives.", min=0),
    ] = 2000,
    archived: Annotated[
        Path | None,
        value("--archived", "FILE", "List the archived objects: NDJSON, or CSV as FILE.csv."),
    ] = None,
    export: Export = None,
    progress: Progress = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Forecast a backup: files, bytes, problems, time and cost.

    It also counts accounts, archived files, links that are too long, and requests. It only reads: records from
    Salesforce, listings and HEADs from the source. It can be used during a run.

    Examples:

      engine analyze

      engine analyze --account 0013D00000AbcDeQAF --json

      engine analyze --archived to-restore.csv --export analysis.json
    """
    with guarded(ctx):
        from engine.runs.analyze.analyze import AnalyzeOptions
        from engine.runs.analyze.analyze import analyze as forecast
        from engine.runs.analyze.show import after_analysis, show_analysis
        from engine.runs.shared.signals import tidied

        options = AnalyzeOptions(account=account, limit=limit, sample=sample, archived=archived, export=export)
        settings = settings_for(ctx)
        with screen_for(ctx) as screen:
            found = perform(tidied(forecast(settings, options, screen), screen.say))
        show(ctx, found, show_analysis, after_analysis(found))
