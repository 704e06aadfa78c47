"""A stand-in object store in a process of its own, on loopback: ``with MotoProcess() as server``.

It speaks the S3 API as moto does, with the refusals moto lacks (``engine.rehearsal.object_checks``), save that any key
and secret will do. ``engine.rehearsal.side_door`` fills it, reads it back, tells what it was asked, makes it misbehave.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from engine.rehearsal import children

START_SECONDS = 60.0
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ObjectServer:
    """Where an S3 server listens and what opens it. ``pid`` is the process to end, or the one that leads the others."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    pid: int


class MotoProcess:
    """Starts the store on entering and ends it on leaving; the store also ends when this process dies in any way.

    ``detached`` lets it outlive this process: it is then ended by ``stop`` or by SIGTERM to its pid only.
    ``start`` blocks for one to three seconds and raises RuntimeError where the store does not come up.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, detached: bool = False) -> None:
        self._command = children.command("engine.rehearsal.objects", "--host", host, "--port", str(port))
        self._detached = detached
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ObjectServer:
        command = [*self._command, "--stay"] if self._detached else self._command
        self._process = subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
            command,
            env=children.environment(),
            stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run, which then ends the store itself
        )
        assert self._process.stdout is not None
        line = _first_line(self._process.stdout, START_SECONDS)
        if not line:
            self.stop()
            raise RuntimeError(f"the object store did not start (exit status {self._process.returncode})")
        return ObjectServer(**json.loads(line))

    def stop(self) -> None:
        """End the store; harmless when it has ended."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> ObjectServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _first_line(pipe: IO[bytes], seconds: float) -> bytes:
    """The line the child says when it listens; empty where it ends or says nothing in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.readline() if selector.select(seconds) else b""


def _leave_with_parent() -> None:
    """End this process when the other end of stdin closes: whoever started us is gone, however it went."""
    sys.stdin.buffer.read()
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM, or until stdin closes unless told to stay."""
    parser = argparse.ArgumentParser(prog="python -m engine.rehearsal.objects", description="A stand-in object store.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ready-file", type=Path, help="where to write address and keys (JSON) once it listens")
    parser.add_argument("--stay", action="store_true", help="do not end when stdin closes")
    wish = parser.parse_args(arguments)

    from engine.rehearsal.object_host import ObjectHost  # moto takes a second to import; the parent needs none of it

    host = ObjectHost(wish.host, wish.port)
    server = ObjectServer(
        f"http://{wish.host}:{host.server_port}", "rehearsal", "rehearsal-secret", "us-east-1", os.getpid()
    )
    line = json.dumps(asdict(server)) + "\n"
    if wish.ready_file:
        fresh = wish.ready_file.with_name(wish.ready_file.name + ".new")
        fresh.write_text(line)
        fresh.replace(wish.ready_file)
    sys.stdout.write(line)
    sys.stdout.flush()
    if not wish.stay:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    host.serve_forever()


if __name__ == "__main__":
    main()
