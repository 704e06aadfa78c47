"""Commands for the first day: init writes the settings; rehearse, demo and tune work against local stand-ins."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.flags import AsJson, Config, flag, value
from engine.commands.frame import (
    answer,
    guarded,
    names_settings,
    perform,
    screen_for,
    settings_file,
    settings_for,
    stderr,
    stdout,
)

Seed = Annotated[int, flag("--seed", "The same seed makes the same data.")]
Concurrencies = Annotated[list[int] | None, value("--concurrency", "N", "Try this one; repeatable.", min=1, max=4096)]


def init(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="Where to write (default: --config, or settings.yaml).", metavar="FILE")
    ] = None,
    force: Annotated[bool, flag("--force", "Replace an existing file.")] = False,
    interactive: Annotated[
        bool, flag("--interactive", "Ask for what must be known, and try each answer.", short="-i")
    ] = False,
) -> None:
    """Write a commented settings.yaml with all keys and defaults.

    With --interactive it asks for the org, your bucket and the vendor's, logs in, and reads a few records and files.
    Nothing is written but the file, and no secret into that.

    Examples:

      engine init

      engine init --interactive
    """
    with guarded(ctx):
        from engine.runs.rehearsal.init import may_write, write_settings

        file = file or settings_file(ctx)
        names_settings(file)
        if not interactive:
            typer.echo(write_settings(file, force=force))
            return
        from engine.commands.person import AtTheTerminal
        from engine.limiting.clock import SystemClock
        from engine.runs.doctor.interview import Interview

        may_write(file, force)
        interview = Interview(AtTheTerminal(), SystemClock(), perform, file)
        answers = interview.hold()
        typer.echo(write_settings(file, force=force, answers=answers))
        if words := interview.last_words():
            typer.echo(words)


def rehearse(
    ctx: typer.Context,
    records: Annotated[int, value("--records", "N", "Salesforce records to make.", min=1)] = 1000,
    directory: Annotated[Path, value("--directory", "DIR", "Folder for settings.yaml and the data.")] = Path(
        "rehearsal"
    ),
    seed: Seed = 1,
) -> None:
    """Start local stand-ins of Salesforce and S3, with data.

    They run until Ctrl-C. Use DIR/settings.yaml to work with them.

    Example:

      engine rehearse --records 20000
    """
    with guarded(ctx):
        from engine.runs.rehearsal.rehearse import rehearse as start

        raise typer.Exit(start(records, directory, seed, stderr()))


def demo(
    ctx: typer.Context,
    records: Annotated[int, value("--records", "N", "Records to migrate.", min=500)] = 1500,
    directory: Annotated[Path, value("--directory", "DIR", "Folder for the database and logs, which stay.")] = Path(
        "rehearsal/demo"
    ),
    seed: Seed = 1,
) -> None:
    """Play a whole migration against local stand-ins.

    A backup is killed and resumed; then come verify, switch, rollback and audit.

    Example:

      engine demo
    """
    with guarded(ctx):
        from engine.runs.rehearsal.demo import demo as play

        raise typer.Exit(play(records, directory, seed, stdout()))


def tune(
    ctx: typer.Context,
    real: Annotated[
        bool, flag("--real/--rehearse", "Measure your endpoints, or local stand-ins (the default).")
    ] = False,
    allow_writes: Annotated[
        bool, flag("--allow-writes", "With --real: measure copies to engine-tune/ in the destination.")
    ] = False,
    concurrency: Concurrencies = None,
    records: Annotated[int, value("--records", "N", "Records of each rehearsed backup.", min=50)] = 1000,
    requests: Annotated[
        int, value("--requests", "N", "With --real: most requests per setting.", min=10, max=10_000)
    ] = 2400,
    latency_ms: Annotated[
        float, value("--latency-ms", "MS", "How far away the stand-ins are.", min=0, max=5000)
    ] = 20.0,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Measure which concurrency, queue and batch size are enough.

    Every setting is measured several times. Settings that differ no more than their own runs are not told apart.

    With --real the source sees at most N HEADs (or GETs of small files) per setting, and a few hundred HEADs before
    that to choose the files. Nothing is written unless --allow-writes is given.

    Examples:

      engine tune

      engine tune --real --requests 5000 --concurrency 50 --concurrency 200 --concurrency 400
    """
    with guarded(ctx):
        from engine.runs.shared.signals import tidied
        from engine.runs.tune.real import tune_real
        from engine.runs.tune.show import show_tuning
        from engine.runs.tune.tune import CONCURRENCY, TuneOptions, tune_rehearsed

        options = TuneOptions(allow_writes, records, requests, tuple(sorted(concurrency or CONCURRENCY)), latency_ms)
        with screen_for(ctx) as screen:
            work = tune_real(settings_for(ctx), options, screen.say) if real else None
            found = perform(tidied(work or tune_rehearsed(options, screen.say), screen.say))
        answer(ctx, found, show_tuning)
