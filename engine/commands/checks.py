"""Commands that judge, and say so by their exit code: doctor before a run, verify behind it, sweep at the end."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.commands.flags import Account, AsJson, Config, Progress
from engine.commands.frame import answer, guarded, perform, print_json, screen_for, settings_for, stdout


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
    """Check org, links, source, bucket and machine before a run.

    Each finding names its fix. Exit 4: a blocker.

    Salesforce and the source are only read; a small object is written to your bucket, copied, and deleted again.

    Examples:

      engine doctor

      engine doctor --for switch --scan 2000000

      engine doctor --iam > policies.json
    """
    with guarded(as_json, ctx):
        from engine.runs.doctor.doctor import DoctorOptions, show_diagnosis
        from engine.runs.doctor.doctor import doctor as look
        from engine.runs.doctor.iam import policies

        settings = settings_for(ctx, config, {})
        if iam:
            print_json(policies(settings))
            return
        file = config or ctx.obj or Path("settings.yaml")
        found = perform(look(settings, DoctorOptions(file, purpose, scan, samples)))
        if as_json:
            print_json(found.as_json())
        else:
            show_diagnosis(found, stdout())
        raise typer.Exit(found.exit_code)


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
    account: Account = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most N copies.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write a line per record that does not match.")
    ] = None,
    report_all: Annotated[bool, typer.Option("--report-all", help="With --report: the matching ones too.")] = False,
    progress: Progress = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Prove that every copy is there and holds what was copied.

    The report file has five signs: = as recorded, * differs, - missing at the destination, + missing at the source,
    ! could not be looked at. Exit 6 where anything differs or is missing at the destination.

    Examples:

      engine verify

      engine verify --source --report mismatches.txt

      engine verify --level deep --sample 1%
    """
    with guarded(as_json, ctx):
        from engine.runs.shared.options import goes_with
        from engine.runs.verify.sampling import sample as sampled
        from engine.runs.verify.verify import VerifyOptions
        from engine.runs.verify.verify import verify as look

        goes_with("--report-all", report_all, "--report", report is not None)
        options = VerifyOptions(
            level=level,
            source=source,
            sample=sampled(sample),
            account=account,
            limit=limit,
            report=report,
            report_all=report_all,
        )
        settings = settings_for(ctx, config, {})
        with screen_for(progress) as screen:
            answer(perform(look(settings, options, screen)), as_json)


def sweep(
    ctx: typer.Context,
    host: Annotated[
        list[str] | None, typer.Option("--host", metavar="HOST", help="Search for this host too; repeatable.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--object", metavar="NAME", help="Search only this object (no all-clear); repeatable."),
    ] = None,
    excepted: Annotated[
        list[str] | None,
        typer.Option("--except", metavar="NAME", help="Leave this object out, and the answer too; repeatable."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Rows read per object where text cannot be filtered.")
    ] = 100_000,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look for new and changed records with vendor links, again and again.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="With --watch: one round, for cron.")] = False,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="With --watch: the time between rounds [15m].")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="With --watch: from when on, UTC [24 hours ago].")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Search the whole org for links that still lead to the vendor.

    It reads every text field of every object, and writes nothing. May the vendor be cancelled?

    Exit 0: nothing points there; 6: something does; 3: nothing was found, but not everything was searched.

    Examples:

      engine sweep

      engine sweep --host files.vendor.example --json > sweep.json

      engine sweep --except ApiAnomalyEventStore

      engine sweep --watch --once --since 2026-11-22T00:00:00Z
    """
    with guarded(as_json, ctx):
        from engine.runs.shared.options import duration_s, goes_with, moment
        from engine.runs.sweep.report import show_swept
        from engine.runs.sweep.sweep import SweepOptions
        from engine.runs.sweep.sweep import sweep as search

        for name, value in (("--once", once or None), ("--every", every), ("--since", since)):
            goes_with(name, value is not None, "--watch", watch)
        goes_with("--except", bool(excepted), "a search of all objects", not watch and not only)
        options = SweepOptions(
            hosts=tuple(host or ()),
            objects=tuple(only or ()),
            excepted=tuple(excepted or ()),
            limit=limit,
            watch=watch,
            once=once,
            every_s=duration_s(every or "15m", "--every") or 900.0,
            since=moment(since, "--since"),
        )
        settings = settings_for(ctx, config, {})
        with screen_for(None) as screen:
            found = perform(search(settings, options, screen))
        if as_json:
            print_json(found.as_json())
        else:
            show_swept(found, stdout())
        raise typer.Exit(found.exit_code)
