"""The command line's entry: the options before every command, and the commands in the order of use.

The commands themselves are in ``engine.commands``.
"""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from engine import __version__
from engine.commands import checks, database, desk, first_steps, legacy, reports, run
from engine.commands.flags import ConfigForAll
from engine.commands.frame import names_settings, usage_error
from engine.commands.streams import standard_streams

EXITS = """Exit codes: 0 done; 1 unexpected failure; 2 usage or settings; 3 finished, some records failed;
4 refused before starting; 5 stopped early, resumable; 6 differences found; 11 another run holds the lock;
130, 143 signal, resumable."""

GROUPS = {
    "Set up": ["init", "doctor", "accounts", "analyze", "import-legacy"],
    "Migrate": ["run"],
    "Look at it, and hand it over": ["status", "dashboard", "report", "export"],
    "Prove it": ["verify", "audit", "sweep"],
    "Keep it": ["waive", "db"],
    "Rehearse": ["tune", "rehearse", "demo"],
}
"""In the order of a migration."""
ORDER = [name for names in GROUPS.values() for name in names]


class Commands(TyperGroup):
    """All of them, in the order of a migration. typer itself would put the groups, ``run`` and ``db``, last."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(self.commands, key=ORDER.index)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Under a heading for each group, in columns of one width."""
        width = max(map(len, ORDER))
        for heading, names in GROUPS.items():
            with formatter.section(heading):
                limit = formatter.width - 6 - width
                formatter.write_dl(
                    [(name.ljust(width), self.commands[name].get_short_help_str(limit)) for name in names]
                )

    def main(self, args: Sequence[str] | None = None, *more: Any, **named: Any) -> Any:
        """A command line that cannot be read gets a document too, where one was asked for."""
        try:
            return super().main(args, *more, **named)
        except SystemExit as ended:
            message = getattr(ended.__context__, "format_message", None)
            if message is not None and "--json" in (sys.argv if args is None else args):
                usage_error(message())
            raise


app = typer.Typer(
    name="engine",
    cls=Commands,
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


def main() -> None:
    """The console command."""
    gc.set_threshold(200_000)  # imports make no garbage: collecting it took a tenth of a command's start
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look through every installed package
    try:
        with standard_streams():
            app()
    finally:
        gc.freeze()  # nothing to collect at the end either: the process is about to go


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"engine {__version__}")
        raise typer.Exit


def _manual(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        from engine.commands.manual import manual

        typer.echo(manual(ctx.command, __version__), nl=False)
        raise typer.Exit


@app.callback()
def root(
    config: ConfigForAll = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    man: Annotated[
        bool, typer.Option("--man", callback=_manual, is_eager=True, help="Print the manual page for man, and exit.")
    ] = False,
) -> None:
    """Options that every command shares."""
    names_settings(config)


app.command()(first_steps.init)
app.command()(checks.doctor)
app.command()(reports.accounts)
app.command()(reports.analyze)
app.command("import-legacy")(legacy.import_legacy)
run_app.command("backup")(run.run_backup)
run_app.command("switch")(run.run_switch)
run_app.command("rollback")(run.run_rollback)
app.command()(reports.status)
app.command()(desk.dashboard)
app.command()(desk.report)
app.command()(desk.export)
app.command()(checks.verify)
app.command()(reports.audit)
app.command()(checks.sweep)
app.command()(database.waive)
db_app.command("snapshot")(database.db_snapshot)
db_app.command("rebuild")(database.db_rebuild)
app.command()(first_steps.tune)
app.command()(first_steps.rehearse)
app.command()(first_steps.demo)


if __name__ == "__main__":
    main()
