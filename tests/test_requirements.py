"""The locks: the pins of uv.lock, no fewer and no more than each is for, every one with hashes, none of one machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
EXTRAS = {"requirements.lock": {"rehearsal", "build"}, "requirements-dev.lock": {"dev", "bench"}}
"""What each lock installs beside what engine itself needs."""

PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", re.MULTILINE)
OPTIONS = "-q --require-hashes --only-binary :all: -r"
ITSELF = "-q --no-deps --no-build-isolation -e ."

each_lock = pytest.mark.parametrize("lock", EXTRAS)


def pins(lock: str) -> set[tuple[str, str]]:
    return set(PIN.findall((ROOT / lock).read_text()))


def needed(extras: set[str]) -> set[tuple[str, str]]:
    """Every package that engine with these extras brings, on any platform and Python, read off uv.lock."""
    packages: list[dict[str, Any]] = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    found: set[tuple[str, str]] = set()
    waiting = [("engine", extra) for extra in ("", *extras)]
    for name, extra in waiting:  # grows as it goes
        for package in (each for each in packages if each["name"] == name):
            found.add((name, package["version"]))
            optional = package.get("optional-dependencies", {})
            wants = optional.get(extra, []) if extra else package.get("dependencies", [])
            new = [(want["name"], one) for want in wants for one in ("", *want.get("extra", ()))]
            waiting += [one for one in dict.fromkeys(new) if one not in waiting]
    return {(name, version) for name, version in found if name != "engine"}


@each_lock
def test_it_pins_what_it_is_for_as_uv_lock_does(lock: str) -> None:
    assert pins(lock) == needed(EXTRAS[lock])


@each_lock
def test_its_header_says_what_writes_it(lock: str) -> None:
    header = (ROOT / lock).read_text().splitlines()[1]

    assert header.startswith("# Written by: uv export --frozen ")
    assert header.endswith(f" -o {lock}")


def test_the_tests_need_what_the_demo_needs() -> None:
    """So that the second command of the README only adds to what the first one installed."""
    assert pins("requirements.lock") < pins("requirements-dev.lock")


@each_lock
def test_every_pin_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]

    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@each_lock
def test_it_pins_what_builds_this_package(lock: str) -> None:
    """pip would fetch those by itself, without a hash; an editable install needs one more."""
    builds = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    wanted = {re.split(r"[^A-Za-z0-9-]", each)[0] for each in builds} | {"editables"}

    assert wanted <= {name for name, _ in pins(lock)}


@pytest.mark.parametrize(
    ("file", "locks"),
    [("README.md", ["requirements.lock", "requirements-dev.lock"]), (".ci/run", ["requirements-dev.lock"])],
)
def test_installing_fetches_nothing_that_is_not_locked(file: str, locks: list[str]) -> None:
    installs = re.findall(r'pip"? install (-q .+?)(?: &&|$)', (ROOT / file).read_text(), re.MULTILINE)

    fetching = [each for each in installs if "--no-index" not in each]
    assert fetching == [part for lock in locks for part in (f"{OPTIONS} {lock}", ITSELF)]


@each_lock
def test_it_names_no_index_path_or_address(lock: str) -> None:
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.lstrip().startswith("#")]

    assert [line for line in lines if re.search(r"://|file:|^-|^/| @ |^\s*--(?!hash=)", line)] == []
