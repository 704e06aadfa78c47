"""``engine --man``: a manual page that holds all that ``--help`` holds, and that ``man`` can show."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from cli import app
from engine.commands.manual import _text
from tests.support.documents import COMMANDS, FLAGS

PAGE = CliRunner().invoke(app, ["--man"]).output
PLAIN = PAGE.replace(r"\-", "-").replace(r"\&", "").replace(r"\e", "\\")


def test_every_command_has_its_section_in_the_order_of_the_help() -> None:
    headings = re.findall(r"^\.SS engine ([a-z -]+?)(?= \[| \{|$)", PLAIN, re.MULTILINE)

    assert sorted(headings) == sorted(COMMANDS)


def test_every_flag_is_there() -> None:
    assert [flag for flag in FLAGS if flag not in PLAIN] == []


def test_every_exit_code_is_there() -> None:
    status = PLAIN.split(".SH EXIT STATUS\n")[1].split(".SH")[0]

    assert re.findall(r"^\.B ([\d, ]+)$", status, re.MULTILINE) == ["0", "1", "2", "3", "4", "5", "6", "11", "130, 143"]


@pytest.mark.parametrize(
    ("text", "roff"), [(".EXT", r"\&.EXT"), ("'quoted'", r"\&'quoted'"), ("a\\b", r"a\eb"), ("--all", r"\-\-all")]
)
def test_nothing_in_a_text_is_taken_for_a_request(text: str, roff: str) -> None:
    assert _text(text) == roff


def test_groff_has_nothing_to_complain_of() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed here")
    done = subprocess.run([groff, "-man", "-ww", "-z", "-K", "utf8"], input=PAGE, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
