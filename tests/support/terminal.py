"""A command at a terminal: each line is typed once its question is there."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from tests.support.corner import Corner, Said

ORG = "Rehearsal Org"
"""The name of the stand-in's org."""


def at_a_terminal(corner: Corner, *words: str, typed: list[tuple[str, str]], **env: str) -> Said:
    """Run with a terminal on stdin. ``typed``: pairs of a question and its answer."""
    near, far = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "cli", *words],
        env=corner.environment(**env), stdin=far, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=corner.directory,
    )  # fmt: skip
    os.close(far)
    said = heard = b""
    assert run.stderr is not None
    for question, answer in typed:
        while question.encode() not in said:
            block = os.read(run.stderr.fileno(), 4096)
            assert block, heard.decode()
            said += block
            heard += block
        said = said.partition(question.encode())[2]
        os.write(near, f"{answer}\n".encode())
    out, err = run.communicate(timeout=60)
    os.close(near)
    return Said(run.returncode, out.decode(), (heard + err).decode())
