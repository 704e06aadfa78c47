"""Standard streams that are closed, that nobody reads any more, or that cannot show every letter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.commands import BACKUP
from tests.support.corner import Corner, Said, Whole


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def run(corner: Corner, *words: str, out: int = subprocess.PIPE, err: int = subprocess.PIPE) -> Said:
    child = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        env=corner.environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True, cwd=corner.directory,
    )  # fmt: skip
    return Said(child.returncode, child.stdout or "", child.stderr or "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_not_to_run(corner: Corner, closed: str) -> None:
    corner.files(3)
    for words in (" ".join(BACKUP), "status", "status --json", "no-such-command || [ $? = 2 ]"):
        line = f"{sys.executable} -m cli {words.replace(' ||', f' {closed} ||')} {closed}"
        ran = subprocess.run(
            ["bash", "-c", line], env=corner.environment(), capture_output=True, text=True, cwd=corner.directory
        )
        assert ran.returncode == 0, (line, ran.stderr)
        assert "Traceback" not in ran.stderr
        assert (ran.stdout == "") == (closed not in {"<&-", "2>&-"} or "no-such" in words)
    assert len(corner.held()) == 3


@pytest.mark.parametrize(
    "words", ["status --all", "status --json", "accounts", "accounts --json", "--version", "run --help"]
)
def test_a_reader_that_goes_away_ends_a_command_as_sigpipe_would(whole: Whole, words: str, unread: int) -> None:
    said = run(whole.corner, *words.split(), out=unread)
    assert (said.code, said.err) == (141, "")
    said = run(whole.corner, *words.split(), out=unread, err=unread)
    assert said.code == 141


def test_a_run_goes_on_where_nobody_reads_what_it_says_along_the_way(corner: Corner, unread: int) -> None:
    corner.files(3)
    said = run(corner, "run", "backup", "--full", err=unread)
    assert said.code == 0
    assert "3 backed up" in said.out
    assert len(corner.held()) == 3


def test_names_are_shown_in_any_encoding(corner: Corner) -> None:
    account = corner.account("Łódź \N{MONEY BAG} GmbH")
    corner.files(1, account=account)
    corner.env["PYTHONIOENCODING"] = "ascii"
    said = corner.process("accounts")
    assert said.code == 0, said.err
    assert "\\u0141\\u00f3d\\u017a \\ud83d\\udcb0 GmbH" in said.out
    answer = corner.process("accounts", "--json")
    assert "Łódź \N{MONEY BAG} GmbH" in json.dumps(answer.json, ensure_ascii=False)
    assert corner.process("audit").code == 4, "an error with letters of its own, and no DB"
