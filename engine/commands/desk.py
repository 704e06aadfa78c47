"""What the tracking DB knows, for people who are not at this terminal."""

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.flags import Config, value
from engine.commands.frame import guarded, perform, settings_for


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
    """Serve pages about the migration, and Prometheus metrics at /metrics.

    It only reads the tracking DB, and can be used during a run or on a snapshot. The pages ask no other host for
    anything. Without a token only this machine is answered.

    Examples:

      engine dashboard

      engine dashboard --listen 0.0.0.0:8800 --token-file /etc/engine/dashboard-token
    """
    with guarded(ctx):
        from engine.desk.server import Listen, until_stopped
        from engine.desk.token import read_token
        from engine.limiting.clock import SystemClock

        settings = settings_for(ctx)
        wanted = Listen.of(listen, None if token_file is None else read_token(token_file))
        perform(until_stopped(settings, wanted, SystemClock(), lambda text: typer.echo(text, err=True)))
