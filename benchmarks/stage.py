"""What an engine run needs: both sides of S3, an org with N records, and a settings.yaml that fits them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.local_ca import Ca, make_ca
from benchmarks.measure import Run, run
from benchmarks.servers import OrgProcess, S3Process, record

KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_DEFAULT_REGION": "us-east-1"}
QUIET = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
ENV = KEYS | QUIET | {"AWS_REGION": "us-east-1"}


@dataclass(slots=True)
class Stage:
    """``source`` and ``ours`` are one process where copies stay inside one service."""

    room: Path
    source: S3Process
    ours: S3Process
    org: OrgProcess
    records: int
    ca: Ca | None = None
    plain_links: bool = False
    """Records hold plain links to the source's objects, and the engine has no keys to it."""
    runs: int = 0
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.room / "tracking.db"

    def engine(self, *arguments: str, fresh: bool = False, probe: Path | None = None) -> Run:
        """The whole process, as an operator starts it. ``fresh``: no tracking DB, an empty destination.

        ``probe``: watch the event loop, see ``loop_probe.py``.
        """
        if fresh:
            for file in self.room.glob("tracking.db*"):
                file.unlink()
            self.ours.reset()
        self.source.clear_counts()
        self.ours.clear_counts()
        self.runs += 1
        program = ["-m", "benchmarks.loop_probe", str(probe)] if probe else ["-m", "cli"]
        return run(
            [sys.executable, *program, "-c", str(self.settings), *arguments],
            env=ENV,
            codes=(0, 3) if self.overrides.get("expect_failures") else (0,),
            log=self.room / f"engine-{self.runs}.log",
        )

    @property
    def settings(self) -> Path:
        return self.room / "settings.yaml"

    def write_settings(self) -> None:
        keys = {"access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
        document: dict[str, Any] = {
            "salesforce": {
                "login_url": self.org.url,
                "auth": "client_credentials",
                "client_id": "rehearsal",
                "client_secret": "rehearsal-secret",
            },
            "source": {"access": "http", "allowed_hosts": [self.source.url]}
            if self.plain_links
            else {"endpoint_url": self.source.url, "region": "us-east-1", "buckets": [SOURCE], **keys},
            "destination": {"endpoint_url": self.ours.url, "region": "us-east-1", "bucket": OURS, **keys},
            "tracking": {"database": str(self.database)},
            "logging": {"directory": str(self.room / "logs")},
        }
        if self.ca is not None:
            document["network"] = {"ca_file": str(self.ca.ca)}
        for section, values in self.overrides.items():
            document.setdefault(section, {}).update(values)
        self.settings.unlink(missing_ok=True)
        with os.fdopen(os.open(self.settings, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
            yaml.safe_dump(document, out, sort_keys=False)


@contextmanager
def stage(
    room: Path,
    records: int,
    *,
    size: int = 1000,
    spread: int = 100,
    latency_ms: float = 20.0,
    two_services: bool = False,
    tls: bool = False,
    migration: dict[str, Any] | None = None,
    row: Callable[[int, int], dict[str, str]] | None = None,
    keep: int = 64 << 10,
    plain_links: bool = False,
) -> Iterator[Stage]:
    """Everything up, for the length of the block. ``row``: as for ``OrgProcess``, ``keep``: as for ``S3Process``,
    ``plain_links``: as for ``Stage``."""
    room.mkdir(parents=True, exist_ok=True)
    ca = make_ca(room) if tls else None
    with ExitStack() as stack:
        source = stack.enter_context(
            S3Process(room, objects=records, size=size, spread=spread, latency_ms=latency_ms, ca=ca, keep=keep)
        )
        ours = source
        if two_services:
            ours = stack.enter_context(S3Process(room, latency_ms=latency_ms, name="s3-ours", ca=ca))
        if plain_links:
            row = partial(record, base=f"{source.url}/{SOURCE}")
        org = stack.enter_context(OrgProcess(room, records, row, again=plain_links))  # the source's port is a new one
        overrides = {"migration": dict(migration or {})}
        made = Stage(room, source, ours, org, records, ca, plain_links, overrides=overrides)
        made.write_settings()
        yield made
