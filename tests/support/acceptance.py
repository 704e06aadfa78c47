"""A whole world on real stores, the command in it, and an independent comparison afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from engine.rehearsal import children
from engine.rehearsal.content import content_of
from engine.rehearsal.generator import Cast
from engine.rehearsal.objects import ObjectServer
from engine.rehearsal.side_door import Seeded
from engine.rehearsal.stage import Stage, stage
from tests.support.servers.client import client_of


async def engine(
    place: Stage, *words: str, stdout: int | None = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    """The real command against the stage."""
    return await asyncio.create_subprocess_exec(
        *children.command("cli", "--config", str(place.settings_file), *words),
        env=children.environment(),
        stdout=stdout,
        stderr=asyncio.subprocess.DEVNULL if stdout == asyncio.subprocess.DEVNULL else None,
    )


RECORDS = 240
CAST = Cast(mean_bytes=8_000, large=0.005, archived=0.0)


def side(server: ObjectServer) -> dict[str, Any]:
    return {
        "endpoint_url": server.url,
        "region": server.region,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
    }


def body_of(item: Seeded) -> bytes:
    return item.body if item.body is not None else content_of(item.seed or item.key, item.size)


def load(server: ObjectServer, bucket: str, items: list[Seeded]) -> None:
    client = client_of(server)
    client.create_bucket(Bucket=bucket)

    def put(item: Seeded) -> None:
        headers = {"CacheControl": item.headers["Cache-Control"]} if item.headers else {}
        client.put_object(
            Bucket=bucket,
            Key=item.key,
            Body=body_of(item),
            ContentType=item.content_type or "binary/octet-stream",
            Metadata=dict(item.metadata),
            **headers,
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, items))


@asynccontextmanager
async def on_stage(
    tmp_path: Path, overrides: dict[str, dict[str, Any]], records: int = RECORDS
) -> AsyncIterator[Stage]:
    settings = {"migration": {"concurrency": 24, "part_size_mb": 5}, **overrides}
    async with stage(tmp_path, records, 3, overrides=settings, cast=CAST) as place:
        yield place


async def run(place: Stage, *words: str) -> tuple[int, dict[str, Any]]:
    process = await engine(place, *words, "--json", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode is not None
    document: dict[str, Any] = json.loads(out)
    return process.returncode, document


def differences(place: Stage, server: ObjectServer, bucket: str, *, guesses: bool = False) -> list[str]:
    """Every record against what was made, every copy read back and hashed. ``guesses``: the store puts a guess of its
    own in the place of ``application/octet-stream``."""
    found: list[str] = []
    client = client_of(server)
    expected = {item.id: item for item in place.world.expected}
    sources = {item.key: item for item in place.world.objects}
    with closing(sqlite3.connect(place.directory / "migration_tracking.db")) as db:
        db.row_factory = sqlite3.Row
        rows = db.execute("SELECT * FROM file_migrations").fetchall()
    if len(rows) != len(expected):
        found.append(f"{len(rows)} rows for {len(expected)} records")

    def compare(row: sqlite3.Row) -> str | None:
        want = expected[row["doclist_entry_id"]]
        if (row["status"], row["failure_class"]) != (want.status, want.failure):
            return f"{want.id}: {row['status']}/{row['failure_class']}, expected {want.status}/{want.failure}"
        if row["status"] != "backed_up":
            return None
        source = sources[want.source_key or ""]
        answer = client.get_object(Bucket=bucket, Key=row["your_s3_key"])
        body = answer["Body"].read()
        facts = (answer["ContentType"], answer["Metadata"], answer.get("CacheControl"))
        wanted = (source.content_type, dict(source.metadata), source.headers.get("Cache-Control"))
        if guesses and source.content_type == "application/octet-stream":
            facts = (source.content_type, *facts[1:])
        if body != body_of(source) or facts != wanted:
            return f"{want.id}: copy differs: {len(body)} bytes, {facts}, expected {wanted}"
        if row["file_hash"] and row["file_hash"] != hashlib.sha256(body).hexdigest():
            return f"{want.id}: the recorded hash is not the copy's"
        return None

    with ThreadPoolExecutor(8) as pool:
        found += [problem for problem in pool.map(compare, rows) if problem]
    keys = {
        item["Key"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for item in page.get("Contents", [])
    }
    claimed = {row["your_s3_key"] for row in rows if row["status"] == "backed_up"}
    found += [f"{key}: nobody claims it" for key in keys - claimed]
    uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return found + [f"upload left open: {upload}" for upload in uploads]
