"""Demo, rehearse and tune: whatever is exported or lies in the working directory, they stay among their stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.corner import Said, ended, until

MARK = "from pathlib import Path\n(Path(__file__).resolve().parents[{up}] / 'ran').touch()\n"


class Elsewhere(ThreadingHTTPServer):
    """A server on this machine that stands for somebody's real org, bucket and proxy: nobody should ask it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Noting)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Noting(BaseHTTPRequestHandler):
    server: Elsewhere

    def _note(self) -> None:
        self.server.asked.append(self.requestline)
        self.send_error(500)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_CONNECT = _note  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Trap:
    """A working directory and an environment that would lead a careless child astray."""

    directory: Path
    elsewhere: Elsewhere

    def environment(self) -> dict[str, str]:
        url = self.elsewhere.url
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("ENGINE_", "AWS_", "PYTHON"))}
        proxies = {
            name: url for each in ("http", "https", "all") for name in (f"{each}_proxy", f"{each}_proxy".upper())
        }
        return {
            **kept,
            **proxies,
            "HOME": str(self.directory),
            "NO_PROXY": "",
            "ENGINE_SALESFORCE__LOGIN_URL": url,
            "ENGINE_SALESFORCE__CLIENT_SECRET": "of-the-real-org",
            "ENGINE_SOURCE__ENDPOINT_URL": url,
            "ENGINE_DESTINATION__ENDPOINT_URL": url,
            "ENGINE_DESTINATION__BUCKET": "the-real-bucket",
            "ENGINE_NETWORK__PROXY": url,
            "ENGINE_NETWORK__LOOPBACK_ONLY": "false",
            "AWS_ENDPOINT_URL": url,
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_PROFILE": "of-nobody",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/keys",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", *words],
            env=self.environment(), cwd=self.directory, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def engine(self, *words: str) -> Said:
        return ended(self.start(*words))

    def nobody_was_asked(self) -> bool:
        return not self.elsewhere.asked and not (self.directory / "ran").exists()


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    for name, up in (("cli.py", 0), ("engine/__init__.py", 1), ("moto.py", 0), ("sitecustomize.py", 0)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(MARK.format(up=up) + "raise SystemExit('from the working directory')\n")
    (tmp_path / "migration_tracking.db").write_text("of the real org")
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text("[default\nthis is no configuration\n")
    with Elsewhere() as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        yield Trap(tmp_path, elsewhere)
        elsewhere.shutdown()


@pytest.mark.slow
def test_the_demo_plays_among_its_stand_ins(trap: Trap) -> None:
    said = trap.engine("demo", "--records", "500")

    assert trap.nobody_was_asked(), trap.elsewhere.asked
    assert said.code == 0, said.everything
    assert "Everything as expected" in said.out


@pytest.mark.slow
def test_a_rehearsed_tune_stays_among_its_stand_ins_and_ends_with_settings_to_paste(trap: Trap) -> None:
    said = trap.engine("tune", "--records", "50", "--concurrency", "4", "--latency-ms", "1")

    assert trap.nobody_was_asked(), trap.elsewhere.asked
    assert said.code == 0, said.everything
    lines = said.out.splitlines()
    settings = lines[lines.index("migration:") + 1 :]
    assert settings[0] == "  concurrency: 4  # the only one measured"
    assert settings.index("") < next(at for at, text in enumerate(settings) if text.startswith("  next: "))
    assert "the shape, not what S3 can do" in said.out


def test_the_settings_of_a_rehearsal_speak_alone(trap: Trap) -> None:
    settings = trap.directory / "rehearsal" / "settings.yaml"
    run = trap.start("rehearse", "--records", "60")
    try:
        until(settings.exists, "the stage is set")
        said = [
            trap.engine("--config", str(settings), "run", "backup", "--full", "--transport", transport)
            for transport in ("fast", "sdk")
        ]
    finally:
        run.send_signal(signal.SIGINT)
        ended(run)

    assert trap.nobody_was_asked(), trap.elsewhere.asked
    assert [each.code for each in said] == [3, 3], [each.everything for each in said]
