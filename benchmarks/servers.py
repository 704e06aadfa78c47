"""The stand-ins as child processes: started, asked, ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.local_ca import Ca
from benchmarks.measure import clean_environment
from engine.rehearsal.salesforce.world import make_id

SPACIOUS = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}
"""glibc keeps freed memory: the stand-in's buffers come and go all the time."""
_START_S = 60.0
_LOAD = 20_000
PER_ACCOUNT = 40


class _Process:
    """One child with a ready file. Ends with the block, or with this process."""

    def __init__(self, room: Path, name: str, module: str, arguments: Iterable[str]) -> None:
        self._ready = room / f"{name}.ready.json"
        self._command = [sys.executable, "-m", module, "--ready-file", str(self._ready), "--with-parent", *arguments]
        self.url = ""
        self.pid = 0

    def __enter__(self) -> Self:
        self._ready.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            self._command, env=clean_environment() | SPACIOUS, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            self._await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while not self._ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[2]} did not start")
            time.sleep(0.02)
        told = json.loads(self._ready.read_text(encoding="utf-8"))
        self.url, self.pid = told["url"], told["pid"]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


class S3Process(_Process):
    """A ``benchmarks.cheap_s3``."""

    def __init__(
        self,
        room: Path,
        *,
        objects: int = 0,
        size: int = 1000,
        spread: int = 100,
        latency_ms: float = 20.0,
        name: str = "s3",
        ca: Ca | None = None,
        keep: int = 64 << 10,
    ) -> None:
        """``keep``: bodies that are not the pattern are kept up to so many bytes."""
        arguments = [f"--objects={objects}", f"--size={size}", f"--spread={spread}", f"--latency-ms={latency_ms}"]
        arguments.append(f"--keep={keep}")
        self._trust = None
        if ca is not None:
            import ssl

            arguments += [f"--tls-cert={ca.cert}", f"--tls-key={ca.key}"]
            self._trust = ssl.create_default_context(cafile=os.fspath(ca.ca))
        super().__init__(room, name, "benchmarks.cheap_s3", arguments)

    def state(self) -> dict[str, Any]:
        """Counts, objects, CPU seconds, peak RSS."""
        return self._ask("__counts__")

    def reset(self) -> dict[str, Any]:
        """Empty the ordinary buckets and the counts."""
        return self._ask("__reset__", {})

    def clear_counts(self) -> None:
        self._ask("__clear__", {})

    def lay(self, bucket: str, source: str, objects: Sequence[tuple[str, str, str]]) -> None:
        """Put copies of source objects there: (key, source key, ETag; empty: the source's)."""
        self._ask("__lay__", {"bucket": bucket, "source": source, "objects": objects})

    def pace(self, **pace: float | None) -> None:
        """Set latency, bandwidth and the hidden rate anew; see ``standin.service.Pace``."""
        self._ask("__pace__", pace)

    def _ask(self, door: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if document is None else json.dumps(document).encode()
        asked = urllib.request.Request(f"{self.url}/{door}", data=data)
        with urllib.request.urlopen(asked, timeout=60, context=self._trust) as answer:
            told: dict[str, Any] = json.load(answer)
        return told


class OrgProcess(_Process):
    """A stand-in org with ``records`` records whose links point to the prepared objects of the same numbers."""

    def __init__(
        self,
        room: Path,
        records: int,
        row: Callable[[int, int], dict[str, str]] | None = None,
        *,
        again: bool = False,
    ) -> None:
        """``row``: makes record ``number`` of so many accounts. ``again``: fill an org anew that is there already."""
        database = room / f"org-{records}{'' if row is None else '-other'}.db"
        if again:
            database.unlink(missing_ok=True)
        self._row = row or record
        self._filled = database.exists()
        self._records = records
        settings = room / "org.settings.json"
        settings.write_text(json.dumps({"daily_max": 10_000_000}), encoding="utf-8")
        super().__init__(room, "org", "engine.rehearsal.salesforce", [f"--db={database}", f"--settings={settings}"])

    def __enter__(self) -> Self:
        super().__enter__()
        if not self._filled:
            accounts = max(1, self._records // PER_ACCOUNT)
            self._load(account(number) for number in range(accounts))
            self._load(self._row(number, accounts) for number in range(self._records))
        return self

    def _load(self, rows: Iterable[dict[str, str]]) -> None:
        lines: list[bytes] = []
        for row in rows:
            lines.append(json.dumps(row).encode())
            if len(lines) == _LOAD:
                self._post(b"\n".join(lines))
                lines.clear()
        if lines:
            self._post(b"\n".join(lines))

    def _post(self, body: bytes) -> None:
        with urllib.request.urlopen(f"{self.url}/__sim__/records", data=body, timeout=120) as answer:
            answer.read()


def account(number: int) -> dict[str, str]:
    return {"type": "Account", "Id": make_id("001", number + 1), "Name": f"Account {number}"}


def record(number: int, accounts: int, base: str = "") -> dict[str, str]:
    """The record whose file is prepared object ``number``. ``base``: what its link begins with; empty: as on AWS."""
    from benchmarks.cheap_s3 import SOURCE
    from benchmarks.standin.store import name_of

    base = base or f"https://{SOURCE}.s3.us-west-2.amazonaws.com"
    return {
        "Id": make_id("a0X", number + 1),
        "Name": f"File {number}",
        "Account__c": make_id("001", number % accounts + 1),
        "Document__c": f"{base}/{name_of(number)}",
    }
