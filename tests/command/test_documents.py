"""What the documents say to type is typed, against the stand-ins: each line starts, and none is a usage error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from engine.rehearsal.stage import Stage
from tests.support.commands import BACKUP, SWITCH, said_so
from tests.support.corner import Corner
from tests.support.documents import LINES, ROOT, words_of
from tests.support.legacy import Migrated

ELSEWHERE = re.compile(
    r"--config |--help|--version|--install-completion|--pdf|status --watch|--executor (dask|tls):"
    r"|^engine (init|rehearse|demo|dashboard|tune|run$)"
)
"""They have tests of their own, go on until a signal, start servers or a browser, or only print."""
TYPED = sorted({line for _, line in LINES if not ELSEWHERE.search(line)})
EXPORTED = {"accounts", "failures", "plan", "journal", "inventory"}
"""What ``engine export`` writes: the name of its file says in which format."""
OLD = "old/migration_tracking.db"
MISTAKES = {1, 2, 11}
"""A crash, a wrong flag, somebody else's lock. All other codes say something about the world of this test."""


@dataclass(frozen=True, slots=True)
class Place:
    """A corner that was backed up and switched once, and what stands for the words of the documents in it."""

    corner: Corner
    account: str
    record: str
    plan: Path
    ids: Path
    sweep: Path
    doctor: Path

    def words(self, line: str) -> list[str]:
        known = {"ID": self.record, "ID…": self.record, "a0X3D00000AbcDeQAF": self.record, "CLASS": "network"}
        known |= {"12": "2", "3": "1", "N": "1", "TEXT": "agreed", "processes:16": "processes:2"}
        words: list[str] = []
        for word in words_of(line):
            before = words[-1] if words else ""
            if word in {"FILE", "FILE.html"}:
                words.append(str(self.file(before)))
            else:
                words.append(self.account if before == "--account" else known.get(word, word))
        return [*words, "--yes"] if "--execute" in words and words[0] == "run" else words

    def file(self, flag: str) -> Path:
        here = self.corner.directory
        [undo] = here.glob("*.rollback-2.ndjson")
        given = {"--plan": self.plan, "--ids": self.ids, "--rollback-file": undo, "--sweep": self.sweep}
        given |= {"--doctor": self.doctor, "import-legacy": here / OLD}
        suffix = ".csv" if flag in EXPORTED else ""
        return given.get(flag) or here / f"written-{len(list(here.iterdir()))}{suffix}"


@pytest.fixture(scope="module")
def place(the_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    corner = Corner(the_stage, tmp_path_factory.mktemp("typed"))
    account = corner.account("One")
    records = corner.files(5, account=account)
    names = ("plan.ndjson", "ids.txt", "sweep.json", "doctor.json")
    plan, ids, sweep, doctor = (corner.directory / name for name in names)
    ids.write_text(f"{records[0]}\n")
    said_so(corner.engine(*BACKUP), 0)
    said_so(corner.engine("run", "switch", "--dry-run", "--plan", str(plan)), 0)
    said_so(corner.engine(*SWITCH), 0)
    sweep.write_text(corner.engine("sweep", "--json").out)
    (corner.directory / OLD).parent.mkdir()
    Migrated(corner).file.rename(corner.directory / OLD)
    doctor.write_text(corner.engine("doctor", "--for", "switch", "--json").out)
    yield Place(corner, account, records[0], plan, ids, sweep, doctor)
    corner.calm()


@pytest.mark.parametrize("line", TYPED)
def test_it_can_be_typed(place: Place, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.corner.directory)  # where files of the documents are written that have a name of their own
    said = place.corner.engine(*place.words(line))

    assert said.code not in MISTAKES, said.everything


def environment(settings: Path) -> dict[str, str]:
    """A settings file as variables, so that another file can be used in the same world."""
    document = yaml.safe_load(settings.read_text())
    return {
        f"ENGINE_{section}__{key}".upper(): ",".join(value) if isinstance(value, list) else str(value)
        for section, keys in document.items()
        for key, value in keys.items()
    }


def test_the_test_settings_copy_five_files_of_one_account_once_their_dry_run_is_off(corner: Corner) -> None:
    """The original's scripts did not read these switches: its testing configuration started a full run."""
    one, other = corner.account("One"), corner.account("Other")
    mine = corner.files(7, account=one)
    corner.files(3, account=other)
    world = environment(corner.stage.settings_file) | corner.env | {"ENGINE_MIGRATION__TEST_ACCOUNT_ID": one}
    words = ("--config", str(ROOT / "deploy/settings/test.yaml"), "run", "backup", "--full", "--no-progress", "--json")

    assert corner.engine(*words, **world).code == 0
    assert corner.held() == {}
    said_so(corner.engine(*words, "--no-dry-run", **world), 2, "migration.dry_run")
    said = said_so(corner.engine(*words, **world, ENGINE_MIGRATION__DRY_RUN="false"), 0)

    assert said.json["records"]["backed_up"] == len(corner.held()) == 5
    assert {each for each, row in corner.rows().items() if row["status"] == "backed_up"} < set(mine)
