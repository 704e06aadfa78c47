"""Who may import whom: read off the source, so that a wrong import fails here and not in somebody's review."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "engine"

LOG = {"log", "log_file", "redaction"}
MAY_IMPORT: dict[str, set[str]] = {
    "model": {"model"},
    "limiting": {"limiting", "model"},
    "salesforce": {"salesforce", "limiting", "model", "settings"},
    "s3": {"s3", "limiting", "model", "settings"},
    "web": {"web", "limiting", "model", "settings"},
    "tracking": {"tracking", "limiting", "model", "settings"},
    "pipeline": {"pipeline", "limiting", "model", "settings"},
    "rehearsal": {"rehearsal", "limiting", "model"},
    "settings": {"settings", "model"},
    "reading": {"reading", "model", "settings"},
    "redaction": {"model", "settings"},
    "log_file": {"limiting", "model"},
    "log": {"limiting", "model", *LOG},
    "desk": {"desk", "runs", "tracking", "web", "limiting", "model", "settings"},
    "commands": {"commands", "desk", "runs", "limiting", "settings", "reading", "log"},
    "cli": {"commands", "__version__"},
}
"""Around ``runs``, which may import everything of engine but the commands above it."""

COMMAND_LINE = {"cli", "commands"}

ONLY_IN: dict[str, set[str]] = {
    "aiohttp": {"salesforce", "web", "desk", "rehearsal"},
    "jinja2": {"desk"},
    "prometheus_client": {"desk"},
    "aiobotocore": {"s3"},
    "botocore": {"s3"},
    "httptools": {"s3"},
    "awscrt": {"s3"},
    "aiosqlite": {"tracking"},
    "sqlite3": {"tracking", "rehearsal"},
    "jwt": {"salesforce", "rehearsal"},
    "cryptography": {"rehearsal"},
    "moto": {"rehearsal"},
    "flask": {"rehearsal"},
    "werkzeug": {"rehearsal"},
    "responses": {"rehearsal"},
    "typer": COMMAND_LINE,
    "click": COMMAND_LINE,
    "uvloop": COMMAND_LINE,
    "yaml": {"reading", "rehearsal"},
    "rich": {"runs", *COMMAND_LINE},
    "pydantic": {"settings", "reading", "redaction", "salesforce"},
    "pydantic_core": {"settings", "reading"},
    "orjson": {"log", "salesforce", "web", "tracking", "runs", "rehearsal", *COMMAND_LINE},
    "structlog": {"log", "salesforce", "s3", "web", "tracking", "pipeline", "runs", *COMMAND_LINE},
    "multidict": {"salesforce", "web", "rehearsal"},
    "yarl": {"salesforce", "web", "rehearsal"},
    "puremagic": {"web"},
    "distributed": {"runs"},
}
"""Outside packages, and the floors they stay on. One that is not here is not used."""

HEAVY = {"aiohttp", "aiobotocore", "botocore", "boto3", "moto", "flask", "awscrt", "aiosqlite", "yaml", "jwt"}

CHILD = re.compile(
    r"(asyncio\.)?create_subprocess_\w+|subprocess\.(?!PIPE)\w+|Popen|os\.(exec|spawn|posix_spawn|system)\w*"
)
"""Calls that start a process."""

NETWORK = ("engine.salesforce", "engine.s3", "engine.web")
MODULES = sorted(ENGINE.rglob("*.py"))
ENTRY = ROOT / "cli.py"
TREES = {path: ast.parse(path.read_text()) for path in [*MODULES, ENTRY]}

OWN_TIME = {"cli", "limiting", "rehearsal"}
"""Floors that may ask the system for time and chance."""


def none(offences: Sequence[object]) -> None:
    """Fails with a list of them all."""
    assert not offences, "\n".join(map(str, offences))


def floor(path: Path) -> str:
    return "cli" if path == ENTRY else path.relative_to(ENGINE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module a file imports, at its top or within a function, with the line."""
    for node in ast.walk(TREES.get(path) or ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            if node.module == "engine":
                yield from ((f"engine.{alias.name}", node.lineno) for alias in node.names)
            elif node.module:
                yield node.module, node.lineno


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


ALL_IMPORTS = [
    (path, module, f"{name(path)}:{line} imports {module}") for path in TREES for module, line in imports(path)
]


def test_a_module_imports_only_from_its_own_floor_and_below() -> None:
    def below(path: Path, module: str) -> bool:
        package, _, rest = module.partition(".")
        other = rest.split(".")[0]
        if package != "engine" or not rest:
            return package != "cli"
        return other not in COMMAND_LINE if floor(path) == "runs" else other in MAY_IMPORT.get(floor(path), set())

    none([said for path, module, said in ALL_IMPORTS if not below(path, module)])


def test_no_imports_run_in_a_circle() -> None:
    """Whatever a file takes from another, be it for types alone."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    needs: dict[str, set[str]] = {module: set() for module in files}
    for module, path in files.items():
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.ImportFrom) and node.module:
                taken = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                needs[module] |= taken & files.keys()

    graphlib.TopologicalSorter(needs).prepare()


def test_outside_packages_stay_on_their_floor() -> None:
    def allowed(path: Path, package: str) -> bool:
        known = package == "engine" or (package in sys.stdlib_module_names and package not in ONLY_IN)
        return known or floor(path) in ONLY_IN.get(package, set())

    none([said for path, module, said in ALL_IMPORTS if not allowed(path, module.split(".")[0])])


def test_the_command_line_opens_no_adapter() -> None:
    below = (*NETWORK, "engine.tracking", "engine.pipeline", "engine.rehearsal")
    files = [ENTRY, *(path for path in MODULES if floor(path) == "commands")]
    opened = [module for path in files for module, _ in imports(path) if module.startswith(below)]

    none(opened)


def test_who_asks_the_tracking_db_needs_nothing_that_writes_it() -> None:
    reading = [path for path in MODULES if path.is_relative_to(ENGINE / "tracking" / "read")]
    wrong = [module for path in reading for module, _ in imports(path) if module.startswith("engine.tracking.write")]

    assert reading
    none(wrong)


def test_the_network_is_opened_in_few_places() -> None:
    """One run opens them all through the assembly, by the openers that are in force. To list accounts, and to try a
    login before a bucket is known, Salesforce alone is opened."""
    openers = {
        name(path)
        for path in MODULES
        if floor(path) == "runs"
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(NETWORK)
        if any(alias.name.startswith("open_") for alias in node.names)
    }

    assert openers <= {
        f"engine/runs/{each}.py" for each in ("shared/assembly", "shared/world", "status/accounts", "doctor/interview")
    }


def test_time_sleep_and_chance_come_from_the_clock() -> None:
    """So that the whole engine can run in a simulated world."""
    doors = {"asyncio.sleep", "time.time", "time.sleep", "time.monotonic", "time.perf_counter", "time.time_ns"}
    doors |= {"datetime.now", "datetime.utcnow", "dt.now", "date.today"}
    wrong = [said for path, module, said in ALL_IMPORTS if module == "random" and floor(path) not in OWN_TIME]
    for path in (path for path in TREES if floor(path) not in OWN_TIME):
        wrong += [
            f"{name(path)}:{node.lineno} uses {ast.unparse(node)}"
            for node in ast.walk(TREES[path])
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and ast.unparse(node) in doors
        ]

    none(wrong)


def test_nothing_is_printed_and_nobody_else_configures_logging() -> None:
    wrong = [
        f"{name(path)}:{node.lineno} calls {ast.unparse(node.func)}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        if ast.unparse(node.func) == "print"
        or (isinstance(node.func, ast.Attribute) and node.func.attr == "basicConfig")
    ]

    none(wrong)


def test_no_test_module_imports_another_one() -> None:
    """What tests share lies in ``tests.support``, under a plain name."""
    shared = [
        f"{name(path)}:{line} imports {module}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for module, line in imports(path)
        if re.search(r"\.(test_\w+|conftest)(\.|$)", module)
    ]

    none(shared)


def test_a_child_is_told_its_whole_environment_and_python_is_started_in_one_way() -> None:
    """It must inherit nothing by accident, and no child of ours may import from the working directory."""
    starts, python = {}, set()
    for path in MODULES:
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.Call) and CHILD.fullmatch(ast.unparse(node.func)):
                starts[name(path), node.lineno] = "env" in {each.arg for each in node.keywords}
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable":
                python.add(name(path))

    assert len(starts) >= 5
    none([place for place, told in starts.items() if not told])
    assert python == {"engine/model/surroundings.py"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("cli", HEAVY),
        ("engine.reading.load", HEAVY | {"pydantic", "structlog"}),
        ("engine.runs.rehearsal.init", HEAVY | {"pydantic"}),
        ("engine.log", HEAVY | {"pydantic"}),
        ("engine.settings", HEAVY),
    ],
)
def test_what_help_needs_does_not_wait_for_heavy_packages(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {absent!r}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert loaded.stdout.split() == []
