"""A real Dask cluster on loopback: a scheduler and workers, each a process of its own, each stopped by its own id."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.corner import until

TTL = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}


@dataclass
class Cluster:
    """Use it as a context manager. ``env``: of the workers. ``options``: of every process, such as those of TLS."""

    directory: Path
    env: Mapping[str, str]
    options: Sequence[str] = ()
    protocol: str = "tcp"
    scheduler: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Cluster:
        self.directory.mkdir(exist_ok=True)
        self.scheduler = self._start("scheduler", "--port", "0", "--protocol", self.protocol)
        until(self._file.exists, "the scheduler is up")
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    @property
    def address(self) -> str:
        """As ``--executor`` takes it."""
        scheme, _, rest = str(json.loads(self._file.read_text())["address"]).partition("://")
        return f"{'dask' if scheme == 'tcp' else scheme}://{rest}"

    def worker(self, *options: str, threads: int = 4, **env: str) -> subprocess.Popen[bytes]:
        """One more, without a nanny."""
        name = f"w{len(self.workers) + 1}"
        process = self._start(
            "worker", "--no-nanny", "--nthreads", str(threads), "--name", name, "--memory-limit", "0", *options, **env
        )
        self.workers.append(process)
        return process

    def said(self, name: str) -> str:
        """What ``scheduler``, or ``w1`` …, has written."""
        with suppress(FileNotFoundError):
            return (self.directory / f"{name}.log").read_text()
        return ""

    def ready(self) -> None:
        """All workers have joined."""
        names = [f"w{number + 1}" for number in range(len(self.workers))]
        until(lambda: all("Registered to" in self.said(name) for name in names), "the workers have joined")

    @property
    def _file(self) -> Path:
        return self.directory / "scheduler.json"

    def _start(self, kind: str, *options: str, **env: str) -> subprocess.Popen[bytes]:
        name = options[options.index("--name") + 1] if "--name" in options else kind
        where = ["--scheduler-file", str(self._file), "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        words = [*where, *self.options, *options]
        if kind == "worker":
            words += ["--local-directory", str(self.directory)]
        with (self.directory / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", kind, *words],
                env={**self.env, **TTL, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
