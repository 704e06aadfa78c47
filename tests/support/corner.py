"""A corner of the shared stage for one test: records, bucket, tracking DB and logs of its own, and the command."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar
from urllib.parse import quote

from typer.testing import CliRunner

from cli import app
from engine.rehearsal.generator import VENDOR_BUCKET, VENDOR_HOST
from engine.rehearsal.object_faults import Fault
from engine.rehearsal.salesforce.world import make_id
from engine.rehearsal.side_door import Held, Seeded
from engine.rehearsal.stage import Stage

T = TypeVar("T")
_numbers = itertools.count(5_000_000)
_tags = itertools.count(1)
PATIENCE_S = 60.0
STATES = ("pending", "backed_up", "failed", "skipped", "switched", "rolled_back", "gone")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds the process worked; on a busy machine it waits for much longer."""

    @property
    def everything(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(slots=True)
class Corner:
    """``env`` holds what every command of this test gets on top of the stage's settings file."""

    stage: Stage
    directory: Path
    tag: str = field(default_factory=lambda: f"corner-{next(_tags)}")
    env: dict[str, str] = field(default_factory=dict)
    bucket: str = ""
    database: Path = Path()

    def __post_init__(self) -> None:
        self.bucket = f"ours-{self.tag}"
        wait(self.stage.objects.create_buckets(self.bucket))
        self.database = self.directory / "tracking.db"
        self.env |= {
            "ENGINE_CONFIG": str(self.stage.settings_file),
            "ENGINE_SALESFORCE__WHERE": f"Type_Current__c = '{self.tag}'",
            "ENGINE_DESTINATION__BUCKET": self.bucket,
            "ENGINE_TRACKING__DATABASE": str(self.database),
            "ENGINE_LOGGING__DIRECTORY": str(self.logs),
            "ENGINE_MIGRATION__CONCURRENCY": "16",
        }

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def move(self, directory: Path) -> None:
        """The tracking DB lies elsewhere."""
        self.database = directory / "tracking.db"
        self.env["ENGINE_TRACKING__DATABASE"] = str(self.database)

    def start_over(self, directory: Path) -> None:
        """Another bucket and another tracking DB, both empty, for the same records."""
        directory.mkdir()
        self.move(directory)
        self.bucket += "-again"
        wait(self.stage.objects.create_buckets(self.bucket))
        self.env["ENGINE_DESTINATION__BUCKET"] = self.bucket

    # the world

    def files(
        self, count: int, *, size: int = 400, suffix: str = ".pdf", account: str = "", load: bool = True
    ) -> list[str]:
        """So many records, each with a file of its own; their Ids."""
        rows, objects = [], []
        for _ in range(count):
            number = next(_numbers)
            key = f"{self.tag}/{number}{suffix}"
            rows.append(self.row(number, self.url(key), account=account))
            objects.append(Seeded(key, size))
        wait(self.stage.objects.load(VENDOR_BUCKET, objects))
        return self.records(rows)

    def row(self, number: int | None = None, url: str = "", name: str = "", account: str = "") -> dict[str, str]:
        number = next(_numbers) if number is None else number
        row = {"Id": make_id("a0X", number), "Name": name or f"File {number}", "Type_Current__c": self.tag}
        row |= {"Document__c": url} if url else {}
        return row | ({"Account__c": account} if account else {})

    def records(self, rows: list[dict[str, str]]) -> list[str]:
        """Load rows into the org as they are."""
        load(self.stage, rows)
        return [row["Id"] for row in rows]

    def put(self, key: str, size: int = 400, **more: Any) -> None:
        """A file in the vendor's bucket."""
        wait(self.stage.objects.load(VENDOR_BUCKET, [Seeded(key, size, **more)]))

    def account(self, name: str) -> str:
        identity = make_id("001", next(_numbers))
        load(self.stage, [{"type": "Account", "Id": identity, "Name": name}])
        return identity

    def edit(self, ids: list[str], **values: str) -> None:
        wait(self.stage.org("edit", {"ids": ids, "set": values}))

    def misbehave(self, **fault: Any) -> None:
        """One fault of the store on what concerns this corner's bucket, or none."""
        wait(self.stage.objects.misbehave(*([Fault(**{"path": self.bucket, **fault})] if fault else [])))

    def misbehave_all(self, *faults: dict[str, Any]) -> None:
        wait(self.stage.objects.misbehave(*(Fault(**{"path": self.bucket, **fault}) for fault in faults)))

    def calm(self) -> None:
        """Both stand-ins behave."""
        wait(self.stage.objects.misbehave())
        self.org("faults", rules=[])
        self.org("access")
        self.org("rewriting")
        self.org("settings", daily_used=0, daily_max=100_000, latency_ms={})

    def org(self, action: str, **document: Any) -> Any:
        return wait(self.stage.org(action, document))

    def same_time(self) -> None:
        """The org's clock, which other tests move on, tells our time again."""
        theirs = datetime.fromisoformat(self.org("clock", advance=0)["now"].replace("+0000", "+00:00"))
        self.org("clock", advance=(datetime.now(UTC) - theirs).total_seconds())

    def url(self, key: str) -> str:
        return f"https://{VENDOR_BUCKET}.{VENDOR_HOST}/{quote(key, safe='/')}"

    # the command

    def engine(self, *words: str, **env: str) -> Said:
        """The command in this process: as a person types it, without waiting for the imports."""
        begun = time.monotonic()
        unset = {name: None for name in os.environ if name.startswith(("ENGINE_", "AWS_"))}
        collects = gc.get_threshold()
        result = CliRunner().invoke(app, list(words), env={**unset, **self.env, **env})
        gc.set_threshold(*collects)  # a run sets both for a process of its own; here garbage would pile up
        gc.unfreeze()
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr, time.monotonic() - begun)

    def start(self, *words: str, stdout: IO[str] | int = subprocess.PIPE, **env: str) -> subprocess.Popen[str]:
        """The command in a process of its own, in the test's directory."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *words],
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
        )

    def environment(self, **env: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENGINE_", "AWS_"))}
        here = str(Path(__file__).parents[2])
        return {**kept, "PYTHONPATH": here, **self.env, **env}

    def process(self, *words: str, **env: str) -> Said:
        """The same, waited for."""
        begun = time.monotonic()
        return ended(self.start(*words, **env), begun)

    # what is there afterwards

    def rows(self) -> dict[str, dict[str, Any]]:
        """The tracking DB's rows by record Id."""
        return {row["doclist_entry_id"]: row for row in self.query("SELECT * FROM file_migrations")}

    def query(self, sql: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql)]

    def recorded(self) -> int:
        with suppress(sqlite3.OperationalError):
            return int(self.query("SELECT count(*) AS n FROM file_migrations")[0]["n"])
        return 0

    def runs(self) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM migration_runs ORDER BY id")

    def held(self) -> dict[str, Held]:
        """The objects of our bucket."""
        return wait(self.stage.objects.dump(self.bucket))

    def put_requests(self) -> int:
        """Requests under way or done that write to our bucket; those under way are in no log yet."""
        return sum(wait(self.stage.objects.fired()))

    def writes(self) -> int:
        """Objects written to our bucket, overwritten ones included."""
        asked = wait(self.stage.objects.requests())
        return sum(
            each.method == "PUT" and each.status == 200 and each.path.startswith(f"/{self.bucket}/") for each in asked
        )

    def forget_requests(self) -> None:
        wait(self.stage.objects.clear_requests())

    def forget_calls(self) -> None:
        org_log(self.stage, "clear=1")

    def calls(self) -> list[dict[str, Any]]:
        """What Salesforce was asked."""
        return org_log(self.stage)

    def methods(self) -> set[str]:
        """What was asked of the store, apart from its side doors."""
        return {each.method for each in wait(self.stage.objects.requests())}

    def source_methods(self) -> set[str]:
        """What was asked of the vendor's bucket."""
        asked = wait(self.stage.objects.requests())
        return {each.method for each in asked if each.path.split("/")[1] == VENDOR_BUCKET}

    def status(self) -> dict[str, Any]:
        """``engine status --json``, which must add up in every state."""
        said = self.engine("status", "--json")
        assert said.code == 0, said.everything
        files = said.json["files"]
        assert sum(files[state] for state in STATES) == files["tracked"], files
        return dict(said.json)

    def logged(self) -> str:
        """Everything under the log directory."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self.logs.glob("*")))


class Whole(NamedTuple):
    """A backup of the generator's whole world, and what was asked of either side meanwhile."""

    corner: Corner
    said: Said
    source_methods: set[str]
    calls: list[dict[str, Any]]


def wait(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def load(stage: Stage, rows: list[dict[str, str]]) -> None:
    """Put rows into the org as they are, outside all rules."""
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    with urllib.request.urlopen(f"{stage.salesforce_url}/__sim__/records", data=body) as answer:
        assert json.load(answer)["loaded"] == len(rows)


def org_log(stage: Stage, query: str = "") -> list[dict[str, Any]]:
    """The calls the org has seen."""
    with urllib.request.urlopen(f"{stage.salesforce_url}/__sim__/log?{query}") as answer:
        return list(json.load(answer)["entries"])


def until(met: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


def ended(process: subprocess.Popen[str], begun: float = 0.0) -> Said:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    out, err = process.communicate(timeout=PATIENCE_S)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Said(process.returncode, out, err, time.monotonic() - begun, cpu)
