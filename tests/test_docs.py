"""The documents hold the truth: what they name exists, and what must be documented is. The changelog tells the past."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import BaseModel

from cli import ORDER
from engine.commands.streams import NOBODY_READS
from engine.model.change import Event
from engine.model.errors import Fatal
from engine.model.facts import Method, Proof
from engine.model.failures import BUDGETED, WORTH_ANOTHER_TRY, FailureClass
from engine.model.outcome import Status
from engine.settings import ResolverSettings, Settings
from tests.support.documents import ALL, COMMANDS, FLAGS, GROUP, NOW, ROOT, code, first_cells, named

COPIED_AGAIN = {FailureClass.COPY_MISSING, FailureClass.DRIFTED, FailureClass.UNPROVED}
"""Their records are pending, not failed: an incremental run takes them whatever its classes are."""
ELSEWHERE = {"--require-hashes", "--only-binary", "--no-deps", "--no-build-isolation", "--fix", "--kills"}
"""Flags of pip, ruff and the ordeals."""
PAST = "docs/from-the-old-scripts.md"
"""It names the files of the original scripts, which are not here."""
OTHERS = ("python -m", "pip ", "sudo ", "systemctl ", "systemd-analyze ", "docker ", "terraform ", "openssl ", "aws ")
"""Lines that begin so are no commands of ours."""


# commands and flags


def test_the_readme_lists_every_command_in_the_order_of_use() -> None:
    """The help has ``run`` in one place; the README tells its three commands where they are used."""
    listed = [cell.removeprefix("engine ") for cell in first_cells("README.md", "command")]

    assert sorted(listed) == sorted(COMMANDS)
    groups = dict.fromkeys(each.split()[0] for each in listed)
    assert [name for name in groups if name != "run"] == [n for n in ORDER if n != "run"]


def test_every_command_that_is_named_exists() -> None:
    typed = named(NOW, r"^(?:\S+/)?engine(?: --config \S+)? ([a-z]+(?:-[a-z]+)?(?: [a-z]+)?)")
    known = {*COMMANDS, *GROUP.commands}

    assert len(typed) > 60
    assert [each for each in typed if each[1] not in known and each[1].split()[0] not in COMMANDS] == []


def test_every_flag_that_is_named_exists() -> None:
    pieces = [
        (name, flag)
        for name, text in NOW.items()
        if name != "benchmarks/README.md"
        for piece in code(text)
        if not piece.startswith(OTHERS)
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", piece)
    ]

    assert len(pieces) > 60
    assert [(name, flag) for name, flag in pieces if flag not in FLAGS | ELSEWHERE] == []


# exit codes


def codes() -> set[int]:
    """What a command can end with."""
    fatal = {kind.exit_code for kind in [Fatal, *Fatal.__subclasses__()]}
    return fatal | {0, 3, 130, 143, NOBODY_READS}


def test_the_readme_lists_every_exit_code() -> None:
    assert {int(cell) for cell in first_cells("README.md", "code")} == codes()


def test_every_exit_code_that_is_named_exists() -> None:
    found = [
        (name, int(number))
        for name, text in NOW.items()
        for numbers in re.findall(r"[Ee]xit(?:s| code(?: is)?) (\d+(?:(?:,| or| and) \d+)*)", text)
        for number in re.findall(r"\d+", numbers)
    ]

    assert len(found) > 5
    assert [each for each in found if each[1] not in codes()] == []


# states, classes, events, proofs, methods


def test_every_state_is_documented() -> None:
    assert first_cells("docs/failures.md", "state") == [each.value for each in Status]


def test_every_failure_class_is_documented_and_no_other() -> None:
    listed = first_cells("docs/failures.md", "class")

    assert sorted(listed) == sorted(each.value for each in FailureClass)


def test_the_classes_said_to_be_tried_again_are_those() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|.*\| yes(?:: .*)? \|$", NOW["docs/failures.md"], re.MULTILINE)

    assert set(rows) == {each.value for each in WORTH_ANOTHER_TRY | COPIED_AGAIN}


def test_the_classes_said_to_count_against_the_error_budget_are_those() -> None:
    sentence = re.search(r"^\* (.*) count\s+against\s+`migration.error_budget`", NOW["docs/failures.md"], re.MULTILINE)
    assert sentence is not None

    assert set(re.findall(r"`(\w+)`", sentence[1])) == {each.value for each in BUDGETED}


def test_the_events_of_the_journal_are_documented() -> None:
    assert first_cells("docs/links.md", "event") == [each.value for each in Event]


def test_the_proofs_are_documented() -> None:
    assert first_cells("docs/copies.md", "`proof`") == [each.value for each in Proof]


def test_the_methods_are_documented() -> None:
    assert first_cells("docs/copies.md", "method") == [each.value for each in Method]


# settings


def keys(section: type[BaseModel], way: str = "") -> Iterator[str]:
    """Every key, with the sections before it."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        yield f"{way}{name}"
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{way}{name}.")


KEYS = {*keys(Settings), *keys(ResolverSettings, "source.resolver.")}


def test_every_setting_that_is_named_exists() -> None:
    sections = "|".join(Settings.model_fields)
    found = named(NOW, rf"(?<![\w./-])((?:{sections})\.[a-z_.]+[a-z])(?![\w/])")
    places = {"source.resolver", "settings.yaml"}

    assert len(found) > 40
    assert [each for each in found if each[1] not in KEYS | places] == []


def test_every_variable_that_is_named_sets_something() -> None:
    found = named(NOW, r"ENGINE_([A-Z_]+[A-Z])")

    assert [each for each in found if each[1] != "CONFIG" and each[1].lower().replace("__", ".") not in KEYS] == []


# paths and links


def test_every_path_that_is_named_exists() -> None:
    tops = "engine|tests|docs|benchmarks|deploy|\\.ci"
    now = {name: text for name, text in NOW.items() if name != PAST}
    found = named(now, rf"(?<![\w./-])((?:{tops})/[\w./-]*\w/?|[a-z_-]+\.(?:py|lock|toml))(?![\w*])")
    absent = [each for each in found if not (ROOT / each[1]).exists()]

    assert len(found) > 20
    assert absent == []


def test_every_file_in_a_diagram_exists() -> None:
    """Diagrams name files as they stand below ``engine``."""
    drawn = [
        (name, file)
        for name, text in NOW.items()
        for block in re.findall(r"^```mermaid\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for file in re.findall(r"[\w/]+\.py", block)
    ]

    assert len(drawn) > 10
    assert [each for each in drawn if not (ROOT / "engine" / each[1]).exists()] == []


def test_every_floor_is_documented() -> None:
    floors = {cell for cell in first_cells("docs/design.md", "floor") if cell.startswith("engine/")}
    beside = {"engine/reading", "engine/settings", "engine/rehearsal"}

    assert floors | beside == {f"engine/{path.parent.name}" for path in ROOT.glob("engine/*/__init__.py")}


def test_only_what_the_walk_says_writes_the_tracking_db() -> None:
    """Rows of temporary tables are nobody's."""
    writes = re.compile(r"\b((INSERT (OR \w+ )?INTO|DELETE FROM) (?!temp)|UPDATE \w+ SET|REPLACE INTO)")
    writers = {str(path.relative_to(ROOT)) for path in ROOT.glob("engine/**/*.py") if writes.search(path.read_text())}
    may = ("engine/tracking/write/", "engine/tracking/db/", "engine/rehearsal/")

    assert len(writers) > 5
    assert [path for path in writers if not path.startswith(may)] == []


def test_every_module_that_is_started_exists() -> None:
    started = named(NOW, r"python -m ([a-z0-9_.]+)")
    places = [(name, ROOT / module.replace(".", "/")) for name, module in started]

    assert [(name, str(at)) for name, at in places if not at.with_suffix(".py").exists() and not at.is_dir()] == []


def anchors(text: str) -> set[str]:
    """The headings, as they stand behind ``#`` in a link."""
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for path in ALL:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            place, _, anchor = target.partition("#")
            if "://" in target:
                continue
            aim = path.parent / place if place else path
            if not aim.exists() or (anchor and anchor not in anchors(aim.read_text())):
                wrong.append((path.name, target))

    assert wrong == []


def test_the_picture_shows_titles_that_the_demo_tells() -> None:
    told = "".join(path.read_text() for path in ROOT.glob("engine/**/*.py"))
    titles = re.findall(r">\d+\. (.*?)</text>", (ROOT / "docs/demo.svg").read_text())

    assert len(titles) >= 4
    assert [title for title in titles if f'section("{title}")' not in told] == []
