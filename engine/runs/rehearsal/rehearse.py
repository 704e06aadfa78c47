"""``engine rehearse``: the stand-ins of Salesforce and S3, filled and left running until Ctrl-C."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from engine.model.command import Command
from engine.model.errors import Blocked
from engine.runs.shared import tables

if TYPE_CHECKING:
    from rich.console import Console


def need_rehearsal() -> None:
    """Raises Blocked if the packages of the stand-ins are not installed."""
    if importlib.util.find_spec("moto") is None:
        raise Blocked(
            "the rehearsal needs packages that are not installed", hint="Install them: pip install 'engine[rehearsal]'"
        )


def rehearse(records: int, directory: Path, seed: int, console: Console) -> int:
    """Start the stand-ins and wait for Ctrl-C. Returns the exit code."""
    need_rehearsal()
    return asyncio.run(_rehearse(records, directory, seed, console))


async def _rehearse(records: int, directory: Path, seed: int, console: Console) -> int:
    from engine.rehearsal.stage import stage

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    console.print(f"Making {records:,} records …")
    async with stage(directory, records, seed) as place:
        console.print(f"Salesforce stand-in  {place.salesforce_url}", markup=False)
        console.print(f"S3 stand-in          {place.store.url}", markup=False)
        console.print(f"settings             {place.settings_file}", markup=False)
        backup = Command("run backup --full").with_settings(place.settings_file)
        tables.line(console, f"Try, in another terminal:  {backup}")
        console.print("Press Ctrl-C to stop both.")
        await over.wait()
    return 0
