"""What the tracking DB knows, for people who are not at this terminal."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.commands.flags import AsJson, Config, flag, value
from engine.commands.frame import guarded, perform, settings_for, show


def dashboard(
    ctx: typer.Context,
    listen: Annotated[
        str, value("--listen", "HOST:PORT", "Where to serve the pages; port 0: any free one.")
    ] = "127.0.0.1:8800",
    token_file: Annotated[
        Path | None,
        value("--token-file", "FILE", "A file of mode 0600 with the token that other machines must give."),
    ] = None,
    config: Config = None,
) -> None:
    """Serve pages and metrics about the migration.

    Prometheus metrics are at /metrics. It only reads the tracking DB, and can be used during a run or on a snapshot.
    The pages ask no other host for anything. Without a token only this machine is answered.

    Examples:

      engine dashboard

      engine dashboard --listen 0.0.0.0:8800 --token-file /etc/engine/dashboard-token
    """
    with guarded(ctx):
        from engine.desk.listen import Listen
        from engine.desk.server import until_stopped
        from engine.desk.token import read_token
        from engine.limiting.clock import SystemClock

        settings = settings_for(ctx)
        wanted = Listen.of(listen, None if token_file is None else read_token(token_file))
        perform(until_stopped(settings, wanted, SystemClock(), lambda text: typer.echo(text, err=True)))


def report(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The page to write.", metavar="FILE.html")],
    pdf: Annotated[bool, flag("--pdf", "Print it as a PDF too, with Chromium.")] = False,
    certificate: Annotated[bool, flag("--certificate", "Ask whether the vendor may be cancelled.")] = False,
    sweep: Annotated[
        Path | None, value("--sweep", "FILE", "With --certificate: what engine sweep --json printed.")
    ] = None,
    doctor: Annotated[
        Path | None, value("--doctor", "FILE", "What engine doctor --json printed: its blockers become a criterion.")
    ] = None,
    plan: Annotated[Path | None, value("--plan", "FILE", "A plan of a switch: its sum goes into the page.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Write a page for a change board, with a verdict.

    It shows scope, proofs, what is not ready, waves and waivers. The page is one file that asks nothing of any host.
    Each criterion stands with its arithmetic. With --certificate the question is whether the vendor may be cancelled.
    Exit 6: not every criterion holds; the page is written.

    Examples:

      engine report go-no-go.html --pdf --doctor doctor.json --plan plan.ndjson

      engine report certificate.html --certificate --sweep sweep.json
    """
    with guarded(ctx):
        from engine.desk.attached import Attached
        from engine.desk.criteria import after
        from engine.desk.paper import Paper, write_paper
        from engine.limiting.clock import SystemClock

        wanted = Paper(file, pdf, certificate, Attached(sweep, doctor, plan))
        found = perform(write_paper(settings_for(ctx), wanted, SystemClock()))
        show(ctx, found, _show_verdict, after(found["criteria"], certificate=certificate))


def _show_verdict(found: dict[str, Any], _console: Any) -> None:
    from engine.runs.shared.command import to_show

    for each in found["criteria"]:
        word = {True: "yes", False: "NO", None: "?"}[each["holds"]]
        typer.echo(to_show(f"{word:>4}  {each['name']}: {each['why']}"))
    typer.echo(f"Wrote {' and '.join(found['files'])}")


def export(
    ctx: typer.Context,
    what: Annotated[
        Literal["accounts", "failures", "plan", "journal", "inventory"], typer.Argument(help="Which table.")
    ],
    file: Annotated[Path, typer.Argument(help="The file to write, mode 0600.", metavar="FILE")],
    form: Annotated[
        Literal["csv", "ndjson", "parquet", "rclone-urls"] | None,
        flag("--format", "The format (default: by the ending of FILE)."),
    ] = None,
    redact: Annotated[bool, flag("--redact", "Hide names and paths; equal ones stay equal within the file.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Write a table of the tracking DB to a file.

    CSV holds no formula that a spreadsheet would run; NDJSON is exact; Parquet needs engine[parquet]; rclone-urls is
    what rclone copyurl --urls reads. Queries of presigned links are left out, but from rclone-urls.
    With plan it prints 20 new links to open.

    Examples:

      engine export failures failures.csv

      engine export inventory inventory.parquet --redact

      engine export plan todo.csv --format rclone-urls
    """
    with guarded(ctx):
        from engine.desk.exporting import Export
        from engine.desk.exporting import export as write

        show(ctx, write(settings_for(ctx), Export(what, file, form, redact)), _show_export)


def _show_export(found: dict[str, Any], _console: Any) -> None:
    from engine.runs.shared.command import to_show

    typer.echo(f"Wrote {found['rows']:,} rows of {found['table']} to {found['file']} ({found['format']})")
    if found["sample_links"]:
        typer.echo("Open some of the new links:")
        for link in found["sample_links"]:
            typer.echo(to_show(f"  {link}"))
