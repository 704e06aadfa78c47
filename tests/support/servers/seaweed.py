"""SeaweedFS on loopback: master, volume server, filer and S3 gateway, from the wheel in the dev extra.

A strict S3 that keeps and tells checksums as AWS does, which moto does with the rehearsal's help only and Swift not at
all. One process runs the four daemons; it ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from engine.rehearsal.objects import ObjectServer
from tests.support.servers.client import client_of
from tests.support.servers.swift import free_ports

START_SECONDS = 60.0
REGION = "us-east-1"
ACCESS_KEY = "seaweed"
_DAEMONS = ("master", "volume", "filer", "s3")

# Becomes the program, after asking the kernel to end it (SIGKILL) with its parent.
_BECOME = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@contextlib.contextmanager
def seaweed_server(directory: Path) -> Iterator[ObjectServer]:
    """A fresh, empty SeaweedFS below ``directory`` for the length of the block; takes two to six seconds to start.

    Raises RuntimeError with its last words where it does not.
    """
    secret = secrets.token_hex(12)
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": secret}]
    config = directory / "s3.json"
    config.write_text(
        json.dumps({"identities": [{"name": "tester", "credentials": credentials, "actions": ["Admin"]}]})
    )
    numbers = iter(free_ports(2 * len(_DAEMONS)))
    ports = {name: next(numbers) for daemon in _DAEMONS for name in (f"{daemon}.port", f"{daemon}.port.grpc")}
    options = {
        **ports,
        "dir": directory,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": config,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "master.volumeSizeLimitMB": 128,
        "master.electionTimeout": "1s",
        "master.heartbeatInterval": "100ms",
        "volume.max": 4000,  # each bucket has volumes of its own
        "volume.minFreeSpace": "1MiB",
        "filer": "true",
        "s3": "true",
    }
    program = str(Path(sys.executable).with_name("weed"))
    words = [program, f"-logdir={directory}", "server", *(f"-{name}={value}" for name, value in options.items())]
    with (directory / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _BECOME, str(os.getpid()), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},  # not seven at a time
            start_new_session=True,
        )
    try:
        server = ObjectServer(f"http://127.0.0.1:{ports['s3.port']}", ACCESS_KEY, secret, REGION, process.pid)
        _await_ready(server, process, directory / "weed.log")
        yield server
    finally:
        process.kill()  # nothing here is worth an orderly end
        process.wait()


def _await_ready(server: ObjectServer, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once it has stored and forgotten an object: it listens before it can."""
    client, bucket = client_of(server), "first-of-all"
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="k", Body=b"k")
            client.delete_object(Bucket=bucket, Key="k")
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"SeaweedFS did not start ({process.returncode}, {error}): {words}") from error
            time.sleep(0.05)
        else:
            client.close()
            return
