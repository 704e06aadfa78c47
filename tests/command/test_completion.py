"""What the shell offers at Tab, asked as bash asks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.corner import Corner, Whole

AS_ENGINE = "import sys; sys.argv[0] = 'engine'; from cli import main; main()"


def offers(corner: Corner, *words: str) -> list[str]:
    """For the last of the words."""
    asked = {"_ENGINE_COMPLETE": "complete_bash", "COMP_CWORD": str(len(words)), "COMP_WORDS": " ".join(["_", *words])}
    said = subprocess.run(
        [sys.executable, "-c", AS_ENGINE], env=corner.environment(**asked), capture_output=True, text=True, timeout=60
    )
    assert (said.returncode, said.stderr) == (0, "")
    return said.stdout.split()


def test_accounts_are_those_of_the_tracking_db(whole: Whole) -> None:
    with closing(sqlite3.connect(whole.corner.database)) as db:
        known = [row[0] for row in db.execute("SELECT DISTINCT account_id FROM file_migrations WHERE account_id > ''")]

    begin = min(known)[:-4]
    wanted = sorted(each for each in known if each.startswith(begin))
    assert offers(whole.corner, "run", "backup", "--account", begin) == wanted[:50]
    assert offers(whole.corner, "audit", "--account", "nothing") == []


def test_classes_are_those_that_a_record_can_fail_with(corner: Corner) -> None:
    assert offers(corner, "run", "backup", "--retry-class", "source_") == [
        "source_missing", "source_denied", "source_changed",
    ]  # fmt: skip
    assert "too_large" not in offers(corner, "run", "switch", "--retry-class", "t")


def test_plans_beside_the_db_come_first_and_other_files_can_be_typed(corner: Corner) -> None:
    plan, other = Path(f"{corner.database}.plan-2.ndjson"), corner.directory / "other.ndjson"
    for path in (plan, other):
        path.touch()

    assert offers(corner, "run", "switch", "--plan", f"{corner.directory}/")[0] == str(plan)
    assert offers(corner, "run", "switch", "--plan", f"{corner.directory}/oth") == [str(other)]


@pytest.mark.parametrize("words", [("run", "backup", "--account", "001"), ("run", "rollback", "--run", "1")])
def test_nothing_is_offered_where_there_is_no_db(corner: Corner, words: tuple[str, ...]) -> None:
    assert offers(corner, *words) == []
    assert not corner.database.exists()
