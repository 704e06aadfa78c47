"""Commands for the first day: init writes the settings; rehearse, demo and tune work against local stand-ins."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.flags import AsJson, Config
from engine.commands.frame import guarded, names_settings, perform, print_json, screen_for, settings_for, stderr, stdout


def init(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="Where to write [what --config names, or settings.yaml].", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented settings.yaml with every key and its default.

    Example:

      engine init
    """
    with guarded():
        from engine.runs.rehearsal.init import write_settings

        file = file or ctx.obj or Path("settings.yaml")
        names_settings(file)
        typer.echo(write_settings(file, force=force))


def rehearse(
    records: Annotated[int, typer.Option("--records", min=1, metavar="N", help="Salesforce records to make.")] = 1000,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where settings.yaml and the data go.")
    ] = Path("rehearsal"),
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same data.")] = 1,
) -> None:
    """Start local stand-ins of Salesforce and S3, filled with data.

    They stay up until Ctrl-C. DIR/settings.yaml is ready to be used with them.

    Example:

      engine rehearse --records 20000
    """
    with guarded():
        from engine.runs.rehearsal.rehearse import rehearse as start

        raise typer.Exit(start(records, directory, seed, stderr()))


def demo(
    records: Annotated[int, typer.Option("--records", min=500, metavar="N", help="Records in the story.")] = 1500,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where the story leaves its database and logs.")
    ] = Path("rehearsal/demo"),
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same story.")] = 1,
) -> None:
    """Play a whole migration against local stand-ins.

    A backup is killed and resumed; then come verify, switch, rollback and audit.

    Example:

      engine demo
    """
    with guarded():
        from engine.runs.rehearsal.demo import demo as tell

        raise typer.Exit(tell(records, directory, seed, stdout()))


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
    """Measure which concurrency, queue and batch size are enough.

    It prints the settings to use.

    With --real the source sees a bounded number of HEADs, or GETs of small files; nothing is written unless allowed.

    Examples:

      engine tune

      engine tune --real --requests 1000 --concurrency 50 --concurrency 200 --concurrency 800
    """
    with guarded(as_json, ctx):
        from engine.runs.shared.signals import tidied
        from engine.runs.tune.real import tune_real
        from engine.runs.tune.show import show_sweep
        from engine.runs.tune.tune import CONCURRENCY, TuneOptions, tune_rehearsed

        options = TuneOptions(allow_writes, records, requests, tuple(sorted(concurrency or CONCURRENCY)), latency_ms)
        with screen_for(None) as screen:
            work = tune_real(settings_for(ctx, config, {}), options, screen.say) if real else None
            found = perform(tidied(work or tune_rehearsed(options, screen.say), screen.say))
        if as_json:
            print_json(found.as_json())
        else:
            show_sweep(found, stdout())
