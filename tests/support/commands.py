"""Command lines that many tests type, what they must say, and what is looked at in between."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.side_door import Seeded
from tests.support.corner import Corner, Said, ended, until, wait

BACKUP = ("run", "backup", "--full", "--no-progress")


def refused(said: Said, code: int, *words: str) -> None:
    """One clear message on stderr, nothing on stdout, and the words that it must hold."""
    assert said.code == code, said.everything
    assert said.out == ""
    assert "Traceback" not in said.err
    assert "engine: unexpected" not in said.err
    assert len(said.err.splitlines()) <= 6, said.err
    for word in words:
        assert word in said.err, (word, said.err)


def nobody() -> str:
    """A loopback address where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def remove(corner: Corner, bucket: str, key: str) -> None:
    """Whoever signs may, in the stand-in."""
    request = urllib.request.Request(f"{corner.stage.store.url}/{bucket}/{key}", method="DELETE")
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=rehearsal/20261122/us-east-1/s3/aws4_request")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 204


def replace(corner: Corner, bucket: str, key: str, body: bytes) -> None:
    wait(corner.stage.objects.load(bucket, [Seeded(key, body=body)]))


def incremental(corner: Corner, code: int = 0, *flags: str) -> Said:
    said = corner.engine("run", "backup", "--incremental", "--no-progress", "--json", *flags)
    assert said.code == code, said.everything
    return said


def hours_later(corner: Corner, hours: float = 3) -> None:
    """Past the overlap with which a delta looks back."""
    corner.org("clock", advance=hours * 3600)


def content_of(corner: Corner, key: str) -> bytes:
    """An object of our bucket."""
    request = urllib.request.Request(f"{corner.stage.store.url}/{corner.bucket}/{key}")
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=rehearsal/20261122/us-east-1/s3/aws4_request")
    with urllib.request.urlopen(request) as answer:
        found: bytes = answer.read()
        return found


SWITCH = ("run", "switch", "--execute", "--yes", "--no-progress")


ROLLBACK = ("run", "rollback", "--from-database", "--execute", "--yes", "--no-progress")


def backed_up(corner: Corner, count: int = 5, **more: Any) -> list[str]:
    ids = corner.files(count, **more)
    assert corner.engine(*BACKUP).code == 0
    return ids


def links(corner: Corner, ids: list[str]) -> dict[str, str]:
    """What the org holds now, by its side door."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), 100):
        chunk = ",".join(ids[start : start + 100])
        with urllib.request.urlopen(f"{corner.stage.salesforce_url}/__sim__/records?ids={chunk}") as answer:
            rows = [json.loads(line) for line in answer.read().splitlines()]
        found |= {row["Id"]: row.get("Document__c") or "" for row in rows}
    return found


def ours(corner: Corner) -> dict[str, str]:
    return {name: row["your_s3_url"] for name, row in corner.rows().items()}


def said_so(said: Said, code: int, *words: str) -> Said:
    assert said.code == code, said.everything
    assert "Traceback" not in said.everything
    for each in words:
        assert each in said.everything, (each, said.everything)
    return said


def kill_within_a_switch(corner: Corner, ids: list[str], *words: str) -> None:
    """A link has moved, and nobody has heard of it."""
    corner.org("faults", rules=[{"kind": "slow_after", "endpoint": "collections_update", "params": {"seconds": 30}}])
    run = corner.start(*SWITCH, *words)
    until(lambda: any(VENDOR_BUCKET not in link for link in links(corner, ids).values()), "a link has moved")
    run.kill()
    ended(run)
    corner.org("faults", rules=[])


def lose_the_database(corner: Corner) -> None:
    for name in ("", "-wal", "-shm"):
        Path(f"{corner.database}{name}").unlink(missing_ok=True)
