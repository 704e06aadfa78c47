"""The stage of a rehearsal: both stand-ins in processes of their own, filled, with a settings.yaml that fits them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from engine.rehearsal import children
from engine.rehearsal.generator import VENDOR_BUCKET, Cast, World, generate
from engine.rehearsal.objects import MotoProcess, ObjectServer
from engine.rehearsal.side_door import SideDoor

OUR_BUCKET = "our-documents"
_LOAD = 5_000
_START_S = 30.0
_HEADER = """\
# Made by the rehearsal: local stand-ins of Salesforce and S3. The secrets in here open nothing else.
# With network.loopback_only no ENGINE_… variable is read, and nothing but this machine is reached.
"""


@dataclass(slots=True)
class Stage:
    """Where everything is. ``world`` holds what was loaded at the start."""

    directory: Path
    settings_file: Path
    salesforce_url: str
    store: ObjectServer
    world: World

    @property
    def objects(self) -> SideDoor:
        return SideDoor(self.store)

    async def org(self, action: str, document: Any) -> Any:
        """Call the org's control path: ``edit``, ``delete``, ``faults``, ``settings`` …"""
        return await _control(self.salesforce_url, action, json.dumps(document).encode())

    async def links(self) -> dict[str, str]:
        """The link of every live record as the org holds it, by Id."""
        url = f"{self.salesforce_url}/__sim__/dump?object=DocListEntry__c"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            rows = [json.loads(line) async for line in answer.content]
        return {row["Id"]: row["Document__c"] or "" for row in rows if not row["IsDeleted"]}

    async def add(self, world: World) -> None:
        """Load more records and files, and note what is expected of them."""
        await _load(self.salesforce_url, self.objects, world)
        with (self.directory / "expected.ndjson").open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(asdict(item)) + "\n" for item in world.expected)

    def write_settings(self, file: Path, overrides: dict[str, dict[str, Any]]) -> None:
        """A settings file for this stage; ``overrides`` go into it, section by section."""
        document: dict[str, dict[str, Any]] = {
            "salesforce": {
                "login_url": self.salesforce_url,
                "auth": "client_credentials",
                "client_id": "rehearsal",
                "client_secret": "rehearsal-secret",
            },
            "source": {
                "endpoint_url": self.store.url,
                "region": "us-west-2",
                "buckets": [VENDOR_BUCKET],
                "access_key_id": self.store.access_key,
                "secret_access_key": self.store.secret_key,
            },
            "destination": {
                "bucket": OUR_BUCKET,
                "endpoint_url": self.store.url,
                "region": self.store.region,
                "access_key_id": self.store.access_key,
                "secret_access_key": self.store.secret_key,
            },
            "tracking": {"database": "migration_tracking.db"},
            "logging": {"directory": "logs"},
            "network": {"loopback_only": True},
        }
        for section, values in overrides.items():
            document.setdefault(section, {}).update(values)
        file.unlink(missing_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(_HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


@asynccontextmanager
async def stage(
    directory: Path,
    records: int,
    seed: int,
    *,
    overrides: dict[str, dict[str, Any]] | None = None,
    cast: Cast | None = None,
) -> AsyncIterator[Stage]:
    """Set the stage in ``directory`` (made if needed) and clear it away on leaving; the files stay.

    ``overrides`` go into the settings, section by section.
    """
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs on the loop yet
    world = generate(records, seed=seed, cast=cast)
    with MotoProcess() as store:
        salesforce, url = await _start_salesforce(directory)
        try:
            place = Stage(directory, directory / "settings.yaml", url, store, World())
            await place.objects.create_buckets(VENDOR_BUCKET, OUR_BUCKET)
            (directory / "expected.ndjson").unlink(missing_ok=True)
            await place.add(world)
            place.world = world
            place.write_settings(place.settings_file, overrides or {})
            yield place
        finally:
            salesforce.terminate()
            await salesforce.wait()


async def _start_salesforce(directory: Path) -> tuple[asyncio.subprocess.Process, str]:
    ready = directory / "salesforce.ready.json"
    ready.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *children.command("engine.rehearsal.salesforce", "--ready-file", str(ready), "--with-parent"),
        env=children.environment(),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    async with asyncio.timeout(_START_S):
        while not ready.exists():
            if process.returncode is not None:
                raise RuntimeError(f"the Salesforce stand-in did not start (exit status {process.returncode})")
            await asyncio.sleep(0.05)
    return process, json.loads(ready.read_text(encoding="utf-8"))["url"]


async def _control(url: str, action: str, body: bytes) -> Any:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/__sim__/{action}", data=body) as answer:
        document = await answer.json()
        if answer.status != 200:
            raise RuntimeError(f"the Salesforce stand-in refused {action}: {document}")
        return document


async def _load(url: str, objects: SideDoor, world: World) -> None:
    for rows in (world.accounts, world.records):
        for chunk in _chunks(rows):
            await _control(url, "records", b"\n".join(json.dumps(row).encode() for row in chunk))
    await objects.load(VENDOR_BUCKET, world.objects)


def _chunks(rows: list[dict[str, str]]) -> Iterable[list[dict[str, str]]]:
    return (rows[start : start + _LOAD] for start in range(0, len(rows), _LOAD))
