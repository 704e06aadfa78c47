"""Commands that check, and say by their exit code what they found: doctor before a run, verify after it, sweep last."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.commands.flags import Account, AsJson, Config, Progress, flag, value
from engine.commands.frame import answer, guarded, perform, screen_for, settings_file, settings_for, show

Purpose = Annotated[
    Literal["backup", "switch"],
    flag("--for", "What you are about to do. For a switch, links that users cannot open are blockers."),
]
Scan = Annotated[int, value("--scan", "N", "Records whose new links are measured.", min=1)]
Samples = Annotated[int, value("--samples", "N", "Files that are read, and new links opened.", min=1, max=100)]
Iam = Annotated[bool, flag("--iam", "Print least-privilege IAM policies; check nothing.")]

Level = Annotated[
    Literal["list", "head", "deep"],
    flag("--level", "One listing; a HEAD per copy; or read every byte and hash it again."),
]
Source = Annotated[bool, flag("--source", "Also check whether the source has changed or is gone.")]
Sample = Annotated[str | None, value("--sample", "N|P%", "Only a random sample of the copies.")]
Copies = Annotated[int | None, value("--limit", "N", "At most N copies.", min=1)]
Report = Annotated[Path | None, value("--report", "FILE", "Write one line per record that does not match.")]
ReportAll = Annotated[bool, flag("--report-all", "With --report: matching records too.")]

Hosts = Annotated[list[str] | None, value("--host", "HOST", "Search for this host too; repeatable.")]
Objects = Annotated[list[str] | None, value("--object", "NAME", "Search only this object (no all-clear); repeatable.")]
Excepted = Annotated[
    list[str] | None, value("--except", "NAME", "Leave this object out of search and answer; repeatable.")
]
Rows = Annotated[int, value("--limit", "N", "Rows read per object where text cannot be filtered.", min=1)]
Watch = Annotated[bool, flag("--watch", "Keep looking for new and changed records with vendor links.")]
Once = Annotated[bool, flag("--once", "With --watch: one round, for cron.")]
Every = Annotated[str | None, value("--every", "TIME", "With --watch: time between rounds (default 15m).")]
SinceWhen = Annotated[str | None, value("--since", "TIME", "With --watch: start here, UTC (default 24 hours ago).")]


def doctor(
    ctx: typer.Context,
    purpose: Purpose = "backup",
    scan: Scan = 10_000,
    samples: Samples = 5,
    iam: Iam = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Check org, links, source, bucket and machine before a run.

    Each finding says how to fix it. Exit 4: something blocks the run.

    Salesforce and the source are only read; a small object is written to your bucket, copied, and deleted again.

    Examples:

      engine doctor

      engine doctor --for switch --scan 2000000

      engine doctor --iam > policies.json
    """
    with guarded(ctx):
        from engine.runs.doctor.doctor import DoctorOptions, diagnose, show_diagnosis
        from engine.runs.doctor.iam import policies
        from engine.runs.shared.answer import document_text

        settings = settings_for(ctx)
        if iam:
            show(ctx, policies(settings), lambda found, _: typer.echo(document_text(found), nl=False))
        found = perform(diagnose(settings, DoctorOptions(settings_file(ctx), purpose, scan, samples)))
        answer(ctx, found, show_diagnosis)


def verify(
    ctx: typer.Context,
    level: Level = "list",
    source: Source = False,
    sample: Sample = None,
    account: Account = None,
    limit: Copies = None,
    report: Report = None,
    report_all: ReportAll = False,
    progress: Progress = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Prove that every copy is there and holds what was copied.

    The report file has five signs: = as recorded, * differs, - missing at the destination, + missing at the source,
    ! could not be checked. Exit 6: a copy differs or is missing.

    Examples:

      engine verify

      engine verify --source --report mismatches.txt

      engine verify --level deep --sample 1%
    """
    with guarded(ctx):
        from engine.runs.shared.options import goes_with
        from engine.runs.verify.sampling import sample_of
        from engine.runs.verify.verify import VerifyOptions
        from engine.runs.verify.verify import verify as check

        goes_with("--report-all", report_all, "--report", report is not None)
        options = VerifyOptions(
            level=level,
            source=source,
            sample=sample_of(sample),
            account=account,
            limit=limit,
            report=report,
            report_all=report_all,
        )
        settings = settings_for(ctx)
        with screen_for(ctx) as screen:
            answer(ctx, perform(check(settings, options, screen)))


def sweep(
    ctx: typer.Context,
    host: Hosts = None,
    only: Objects = None,
    excepted: Excepted = None,
    limit: Rows = 100_000,
    watch: Watch = False,
    once: Once = False,
    every: Every = None,
    since: SinceWhen = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Search the whole org for links that lead to the vendor.

    It reads every text field of every object, and writes nothing. Run it before you cancel the vendor.

    Exit 0: nothing points there; 6: something does; 3: nothing was found, but not everything was searched.

    Examples:

      engine sweep

      engine sweep --except ApiAnomalyEventStore --json > sweep.json

      engine sweep --watch --once --since 2026-11-22T00:00:00Z
    """
    with guarded(ctx):
        from engine.runs.shared.options import duration_s, goes_with, moment
        from engine.runs.sweep.report import show_sweep
        from engine.runs.sweep.sweep import SweepOptions
        from engine.runs.sweep.sweep import sweep as search
        from engine.runs.sweep.watch import Watching

        for name, given in (("--once", once), ("--every", every is not None), ("--since", since is not None)):
            goes_with(name, given, "--watch", watch)
        goes_with("--except", bool(excepted), "a search of all objects", not watch and not only)
        watching = Watching(once, duration_s(every or "15m", "--every") or 900.0, moment(since, "--since"))
        options = SweepOptions(
            tuple(host or ()), tuple(only or ()), tuple(excepted or ()), limit, watching if watch else None
        )
        settings = settings_for(ctx)
        with screen_for(ctx) as screen:
            found = perform(search(settings, options, screen))
        answer(ctx, found, show_sweep)
