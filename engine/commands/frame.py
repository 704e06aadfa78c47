"""What every command does: read settings, run the loop, print the answer, turn errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from engine.settings import Settings

LOGS = "engine.logs"
"""The key under which the click context holds the log directory, once the settings are read."""


def names_settings(given: Path | None) -> None:
    """Commands that are shown from now on name this settings file, unless they find it without."""
    from engine.runs.shared.command import name_in_commands

    found = Path(os.environ.get("ENGINE_CONFIG") or "settings.yaml")
    name_in_commands(None if given == found else given)


def settings_file(ctx: typer.Context) -> Path:
    """The file given here or before the command."""
    return Path(ctx.params.get("config") or ctx.find_root().params.get("config") or "settings.yaml")


def settings_for(ctx: typer.Context, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this command; flags that are not None come on top."""
    from engine.reading.load import load_settings

    file = settings_file(ctx)
    names_settings(file)
    flags = {key: value for key, value in (overrides or {}).items() if value is not None}
    settings = load_settings(file, environ=os.environ, overrides=flags)
    ctx.meta[LOGS] = settings.logging.directory
    return settings


def perform(work: Any) -> Any:
    """Run a coroutine to its end, in a process that is tuned for long runs."""
    from engine.runs.shared.runtime import tune_process

    tune_process()
    return start_loop(work)


def start_loop(work: Any) -> Any:
    """Run a coroutine on the fastest loop there is. Every command starts its loop here; a benchmark replaces it."""
    if sys.platform == "win32":
        import asyncio

        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)


def stdout() -> Any:
    """A console for tables."""
    from engine.commands.consoles import Answers

    # off a terminal there is no width to fit: tables keep their lines whole; no emoji: :a: may be part of a name
    return Answers(emoji=False, highlight=False, width=None if sys.stdout.isatty() else 140)


def stderr() -> Any:
    """A console for messages and progress."""
    from engine.commands.consoles import Asides

    return Asides(stderr=True, emoji=False, highlight=False)


@contextmanager
def screen_for(ctx: typer.Context) -> Iterator[Any]:
    """The screen a run reports to: live on a terminal, quiet with ``--no-progress``."""
    from engine.runs.shared.screen import Screen

    console, progress = stderr(), ctx.params.get("progress")
    able = console.is_terminal and not console.is_dumb_terminal
    yield Screen(console, live=able and progress is not False, quiet=progress is False)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    from engine.runs.shared.report import print_document

    print_document(document)


def show(ctx: typer.Context, found: Any, tables: Callable[[Any, Any], None]) -> None:
    """Print what was found, in the form that is wanted."""
    if ctx.params["as_json"]:
        print_json(found if isinstance(found, dict) else found.as_json())
    else:
        tables(found, stdout())


def answer(ctx: typer.Context, report: Any, tables: Callable[[Any, Any], None] | None = None) -> None:
    """The same, ending with the report's exit code. Without ``tables`` it is printed line by line."""
    show(ctx, report, tables or _print_lines)
    raise typer.Exit(report.exit_code)


def _print_lines(report: Any, _: Any) -> None:
    from engine.runs.shared.command import to_show

    for line in report.lines():
        typer.echo(to_show(line))


@contextmanager
def guarded(ctx: typer.Context) -> Iterator[None]:
    """Errors become one clear message and the right exit code; a crash leaves a file in the log directory."""
    try:
        yield
    except (typer.Exit, typer.Abort, KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:
        from engine.runs.shared.command import to_show, to_type
        from engine.runs.shared.report import first_fatal

        fatal = first_fatal(error)
        if fatal is None:
            if not isinstance(error, Exception):
                raise
            from engine.log import crash_file

            file = crash_file(ctx.meta.get(LOGS, Path("logs")), error)
            typer.echo(f"engine: unexpected {type(error).__name__}; details are in {file}", err=True)
            typer.echo("What was recorded is safe; the same command resumes.", err=True)
            raise typer.Exit(1) from None
        hint = to_type(fatal.hint)
        if ctx.params.get("as_json"):
            print_json({"error": str(fatal), "hint": hint, "exit_code": fatal.exit_code})
        typer.echo(to_show(f"engine: {fatal}"), err=True)
        if hint:
            typer.echo(to_show(f"  {hint}"), err=True)
        raise typer.Exit(fatal.exit_code) from None
