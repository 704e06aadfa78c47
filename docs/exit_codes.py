"""Exit codes and failure classes, as the code has them:
`python docs/exit_codes.py > docs/exit-codes-and-failures.md`. A test holds the page against it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the page is about this tree, wherever the script is started

import cli  # noqa: E402
from engine.commands.streams import NOBODY_READS  # noqa: E402
from engine.model import failures  # noqa: E402
from engine.model.failures import BUDGETED, SKIP_CLASSES, WORTH_ANOTHER_TRY, FailureClass  # noqa: E402

UNIT = ROOT / "deploy/systemd/engine-backup.service"
COPIED_AGAIN = {FailureClass.DRIFTED, FailureClass.COPY_MISSING, FailureClass.UNPROVED}
"""Pending, not failed: an incremental run takes what is pending, whatever its class."""
FILTERS = {FailureClass.TYPE_FILTERED, FailureClass.TOO_LARGE}

HEAD = """# Exit codes and failure classes

Written by `python docs/exit_codes.py` from the code. Do not edit it by hand: a test compares it.

What to do at night about each code: [runbook](runbook.md#exit-codes). What each class means:
[failures](failures.md#failure-classes).

## Exit codes

They never change their meaning. `--json` repeats the code as `exit_code`.

"""
CLASSES = """
## Failure classes

`engine status --errors` counts them. `--retry-class` takes them.

"""


def in_unit(key: str) -> set[int]:
    """Exit codes that the unit of a backup names under this key."""
    found = re.search(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return {int(code) for code in found[1].split()} if found else set()


def meanings() -> dict[int, str]:
    """What ``engine --help`` says at its end."""
    text = cli.EXITS.removeprefix("Exit codes: ").replace("\n", " ").rstrip(".")
    pairs = [re.fullmatch(r"([\d, ]+) (\D.*)", part.strip()) for part in text.split(";")]
    found = {int(code): pair[2] for pair in pairs if pair for code in pair[1].split(",")}
    return found | {NOBODY_READS: "nobody reads the answer any more (a closed pipe)"}


def exit_codes() -> Iterator[str]:
    fine, final = in_unit("SuccessExitStatus") | {0}, in_unit("RestartPreventExitStatus")
    yield "| code | meaning | the unit of a backup, under systemd |"
    yield "|---|---|---|"
    for code, meaning in sorted(meanings().items()):
        then = "counts as success" if code in fine else "stays failed" if code in final else "is started again"
        yield f"| {code} | {meaning} | {then} |"


def subjects() -> dict[str, str]:
    """What each class is about: the comment above it in the code."""
    found, about = {}, ""
    for line in inspect.getsource(failures.FailureClass).splitlines():
        if line.strip().startswith("# "):
            about = line.strip().removeprefix("# ")
        elif named := re.match(r'\s+[A-Z_]+ = "(\w+)"', line):
            found[named[1]] = about
    return found


def then_type(each: FailureClass) -> str:
    """The command that takes such records up again."""
    if each in WORTH_ANOTHER_TRY | COPIED_AGAIN:
        return "`engine run backup --incremental`"
    if each in FILTERS:
        return "`engine run backup --full`, after a change of the settings"
    if each in SKIP_CLASSES:
        return "`engine run backup --incremental`, once the record was changed in Salesforce"
    if each is FailureClass.DELETED:
        return "nothing"
    return f"`engine run backup --incremental --retry-class {each.value}`"


def failure_classes() -> Iterator[str]:
    about = subjects()
    yield "| failure class | about | by itself | error budget | what takes it up again |"
    yield "|---|---|---|---|---|"
    for each in FailureClass:
        again = "tried again" if each in WORTH_ANOTHER_TRY | COPIED_AGAIN else ""
        skipped = "left out, not failed" if each in SKIP_CLASSES else again
        budget = "counts" if each in BUDGETED else ""
        yield f"| `{each.value}` | {about[each.value]} | {skipped} | {budget} | {then_type(each)} |"


def page() -> str:
    return HEAD + "\n".join(exit_codes()) + "\n" + CLASSES + "\n".join(failure_classes()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
