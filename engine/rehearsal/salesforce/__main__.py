"""``python -m engine.rehearsal.salesforce``: a stand-in org as a process of its own, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
from pathlib import Path

import orjson

from engine.rehearsal.salesforce.server import SalesforceStandIn
from engine.rehearsal.salesforce.settings import StandInSettings


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.rehearsal.salesforce", description="A stand-in Salesforce org."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--db", type=Path, help="keep the rows in this file; without it they live in memory")
    parser.add_argument("--ready-file", type=Path, help="JSON with url, login_url and pid, written once it listens")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one does")
    parser.add_argument("--separate-login", action="store_true", help="log in on a port of its own")
    parser.add_argument("--login-port", type=int, default=0)
    parser.add_argument("--instance-host", help="host name in instance_url")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--jwt-public-key", type=Path, help="PEM file; turns the JWT bearer flow on")
    parser.add_argument("--settings", type=Path, help="JSON file with any fields of StandInSettings")
    chosen = parser.parse_args()
    if chosen.with_parent:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG, linux/prctl.h
    more = orjson.loads(chosen.settings.read_bytes()) if chosen.settings else {}
    if chosen.jwt_public_key:
        more["jwt_public_key"] = chosen.jwt_public_key.read_text(encoding="utf-8")
    settings = StandInSettings(
        **{
            "host": chosen.host,
            "port": chosen.port,
            "db": chosen.db,
            "separate_login": chosen.separate_login,
            "login_port": chosen.login_port,
            "instance_host": chosen.instance_host,
            "tls_cert": chosen.tls_cert,
            "tls_key": chosen.tls_key,
            **more,
        }
    )
    asyncio.run(_serve(settings, chosen.ready_file))


async def _serve(settings: StandInSettings, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with SalesforceStandIn(settings).serve() as server:
        if ready_file is not None:
            _announce(ready_file, {"url": server.url, "login_url": server.login_url, "pid": os.getpid()})
        await stop.wait()


def _announce(ready_file: Path, facts: dict[str, object]) -> None:
    # Written aside and renamed, so that whoever waits for the file never reads half of it.
    aside = ready_file.with_suffix(".part")
    aside.write_bytes(orjson.dumps(facts))
    aside.replace(ready_file)


if __name__ == "__main__":
    main()
