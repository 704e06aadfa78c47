"""A person can type what the documents say: every command line parses, and what is generated is what the code says."""

from __future__ import annotations

import re
import runpy

import pytest
from typer.core import TyperGroup
from typer.exceptions import Exit, TyperException

from tests.support.documents import GROUP, LINES, NOW, ROOT, words_of

PLACES = {"N": "1", "P%": "1%", "N|P%": "1%", "MS": "20"}
"""What stands for a number in a document; words in capitals stand for themselves."""


def parse(words: list[str]) -> None:
    """As the command line does, without starting anything. Raises a TyperException where a person would see one."""
    command, context, rest = GROUP, None, [PLACES.get(word.rstrip("…"), word) for word in words]
    while rest or not isinstance(command, TyperGroup):  # a group of commands may be named by itself
        try:
            context = command.make_context(command.name, list(rest), parent=context)
        except (Exit, SystemExit):
            return  # --help, --version
        if not isinstance(command, TyperGroup):
            return
        _, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])


def test_lines_are_found_wherever_they_stand() -> None:
    assert len(LINES) > 100
    assert words_of("sudo -u engine /opt/engine/.venv/bin/engine status --json | jq .files") == ["status", "--json"]
    assert words_of("ENGINE_CONFIG=a.yaml engine doctor  # first") == ["doctor"]
    assert words_of("engine-backup.service") == []


@pytest.mark.parametrize(("document", "line"), LINES)
def test_it_parses(document: str, line: str) -> None:
    parse(words_of(line))


@pytest.mark.parametrize(
    "wrong",
    ["run backup --fulll", "status --recent-errors", "verify --level deeper", "run rolback", "run switch --run 3"],
)
def test_a_line_that_a_person_could_not_type_is_found(wrong: str) -> None:
    with pytest.raises(TyperException):
        parse(wrong.split())


OLD = "docs/from-the-old-scripts.md"
SCRIPTS = [
    "list_accounts.py", "migration_analysis.py", "backup_only_migration.py", "full_migration.py",
    "rollback_migration.py", "migration_status.py", "config_template.py",
]  # fmt: skip
"""The original project's, as its README names them; so are the lists below."""
DOCUMENTS = [
    "DOCUMENTATION.md", "QUICK_REFERENCE.md", "VISUAL_WORKFLOWS.md", "DEPLOYMENT_CHECKLIST.md", "CLAUDE.md",
    "TWO_PHASE_MIGRATION_GUIDE.md",
]  # fmt: skip
SETTINGS = [
    "test_single_account", "test_account_id", "max_test_files", "dry_run", "batch_size", "max_file_size_mb",
    "allowed_extensions",
]  # fmt: skip
FEATURES = [
    "Zero downtime", "Comprehensive rollback", "Error isolation", "Dry run modes", "Complete audit trail",
    "Batch processing", "Incremental backups", "SQLite database", "Memory optimization", "Parallel processing",
    "Real-time progress", "Comprehensive error", "Account-level", "Performance metrics", "Export capabilities",
    "Credential protection", "Data encryption", "Access control",
]  # fmt: skip
PROBLEMS = [
    "Auth failed", "AWS access denied", "Database locked", "Slow performance", "Issues during Phase 1",
    "Issues during Phase 2", "Check logs", "Check status", "Verify config", "Test connectivity",
]  # fmt: skip


def rows(heading: str) -> dict[str, str]:
    """The rows of the table below that heading, by what stands in their first column."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", NOW[OLD], re.MULTILINE)
    assert table is not None, heading
    return {row.split("|")[1].strip(" `"): row.split("|", 2)[2] for row in table[1].splitlines()}


@pytest.mark.parametrize(
    ("heading", "wanted"),
    [
        ("script", SCRIPTS),
        ("document", DOCUMENTS),
        ("in `config.py`", SETTINGS),
        ("feature", FEATURES),
        ("problem", PROBLEMS),
    ],
)
def test_everything_of_the_original_has_a_living_counterpart(heading: str, wanted: list[str]) -> None:
    """Each row names a command, a setting or a document; other tests hold that these exist."""
    found = rows(heading)

    assert [each for each in wanted if each not in found] == []
    assert [each for each in wanted if not re.search(r"`|\]\(", found[each])] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_a_command(script: str) -> None:
    assert "`engine " in rows("script")[script]


def test_what_the_runbook_quotes_is_what_the_engine_says() -> None:
    """Whoever is called at night searches for the words on the screen."""
    quoted = re.findall(r'"([^"]+)"', re.sub(r"`[^`]*`", "", NOW["docs/runbook.md"]).replace("\n", " "))
    code = "".join(path.read_text() for path in ROOT.glob("engine/**/*.py"))
    said = re.sub(r'"\s*f?"', "", code)  # parts of one message in the code

    assert len(quoted) > 8
    assert [words for words in quoted if words not in said] == []


RESERVED = {"class", "default", "end", "flowchart", "graph", "click", "style", "subgraph"}
"""Words of Mermaid's own: a node of such a name spoils its whole diagram."""


def test_no_node_of_a_diagram_has_a_name_that_mermaid_takes_for_its_own() -> None:
    nodes = [
        (name, node)
        for name, text in NOW.items()
        for block in re.findall(r"^```mermaid\nflowchart(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for node in re.findall(r"(?:^ *|> (?:\|[^|]*\| )?)(\w+)(?=[\[({]| --| -\.)", block, re.MULTILINE)
    ]

    assert len(nodes) > 80
    assert [each for each in nodes if each[1] in RESERVED] == []


def test_exit_codes_and_failures_are_those_of_the_code() -> None:
    script = runpy.run_path(str(ROOT / "docs/exit_codes.py"))

    assert NOW["docs/exit-codes-and-failures.md"] == script["page"](), (
        "python docs/exit_codes.py > docs/exit-codes-and-failures.md"
    )
