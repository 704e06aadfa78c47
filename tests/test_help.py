"""The help: commands in the order in which a migration uses them, each with a summary that is not cut short."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from cli import app

ORDER = (
    "init doctor accounts analyze import-legacy run status dashboard report export verify audit sweep waive db tune"
    " rehearse demo"
)
GROUPS = {"": ORDER, "run": "backup switch rollback", "db": "snapshot rebuild"}


def commands_in_help(group: str) -> dict[str, str]:
    """Names and summaries, as a terminal of 80 columns shows them."""
    shown = CliRunner().invoke(app, [*group.split(), "--help"], env={"COLUMNS": "80"}).output
    return dict(re.findall(r"^  ([a-z][\w-]+)  +([A-Z].*)$", shown.split("Show this message")[1], re.MULTILINE))


@pytest.mark.parametrize(("group", "order"), GROUPS.items(), ids=["engine", "engine run", "engine db"])
def test_commands_stand_in_the_order_of_use(group: str, order: str) -> None:
    assert list(commands_in_help(group)) == order.split()


@pytest.mark.parametrize("group", GROUPS, ids=["engine", "engine run", "engine db"])
def test_no_summary_is_cut_at_80_columns(group: str) -> None:
    summaries = commands_in_help(group)

    assert {name: text for name, text in summaries.items() if not text.endswith(".") or text.endswith("..")} == {}
