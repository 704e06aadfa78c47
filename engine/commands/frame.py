"""What every command does: read settings, run the loop, print the answer, turn errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from engine.runs.shared.answer import Answer
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
    from engine.runs.shared.exports import keep

    file = settings_file(ctx)
    names_settings(file)
    flags = {key: value for key, value in (overrides or {}).items() if value is not None}
    settings = load_settings(file, environ=os.environ, overrides=flags)
    ctx.meta[LOGS] = settings.logging.directory
    login, switch = settings.salesforce, settings.switch
    keep([file, login.jwt_key_file, login.refresh_token_file, switch.journal_key_file], settings.tracking.database)
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


def answer(ctx: typer.Context, found: Answer, tables: Callable[[Any, Any], None] | None = None) -> NoReturn:
    """Print what was found, in the form that is wanted, and end with its exit code. Without ``tables`` it is printed
    line by line."""
    from engine.runs.shared.answer import answered, next_lines, print_document
    from engine.runs.shared.command import to_show

    if ctx.params["as_json"]:
        print_document(answered(found))
    else:
        if tables is not None:
            tables(found, stdout())
        for line in [*(found.lines() if tables is None else ()), *next_lines(found)]:  # type: ignore[attr-defined]
            typer.echo(to_show(line))
    raise typer.Exit(found.exit_code)


def show(
    ctx: typer.Context, document: Mapping[str, Any], tables: Callable[[Any, Any], None], next_steps: Sequence[Any] = ()
) -> NoReturn:
    """The same for a plain document, with what to type next. All is well, unless it says so by its ``exit_code``."""
    from engine.runs.shared.answer import Found

    found = Found(document, next_steps, document.get("exit_code", 0))
    answer(ctx, found, lambda _, console: tables(document, console))


@contextmanager
def guarded(ctx: typer.Context) -> Iterator[None]:
    """Errors become one clear message and the right exit code; a crash leaves a file in the log directory."""
    try:
        yield
    except (typer.Exit, typer.Abort, KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:
        from engine.runs.shared.answer import failed
        from engine.runs.shared.report import first_fatal

        fatal = first_fatal(error)
        if fatal is not None:
            _fail(ctx, failed(str(fatal), fatal.hint, fatal.exit_code))
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            _fail(ctx, failed("ended by a signal", "Nothing was kept; start the same command again.", error.code))
        if not isinstance(error, Exception):
            raise
        from engine.log import crash_file

        file = crash_file(ctx.meta.get(LOGS, Path("logs")), error)
        told = f"unexpected {type(error).__name__}; details are in {file}"
        _fail(ctx, failed(told, "What was recorded is safe; the same command resumes.", 1))


def _fail(ctx: typer.Context, failure: dict[str, Any]) -> NoReturn:
    """Say why, also as a document where one is wanted, and end."""
    from engine.runs.shared.answer import print_document
    from engine.runs.shared.command import to_show

    typer.echo(to_show(f"engine: {failure['error']}"), err=True)
    if failure["hint"]:
        typer.echo(to_show(f"  {failure['hint']}"), err=True)
    if ctx.params.get("as_json"):
        with suppress(OSError):  # stdout may be what has failed
            print_document(failure)
    raise typer.Exit(failure["exit_code"]) from None


def usage_error(message: str) -> None:
    """The document of a command line that cannot be read; what is wrong was said before."""
    from engine.runs.shared.answer import failed, print_document

    print_document(failed(message, "Add --help to see what the command takes.", 2))
