"""requirements.lock: the same pins as uv.lock, every one with hashes, and nothing that only one machine has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", re.MULTILINE)


def test_it_pins_what_uv_lock_pins() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {(package["name"], package["version"]) for package in packages if package["name"] != "engine"}

    assert set(PIN.findall(LOCK)) == locked


def test_every_pin_has_a_hash() -> None:
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]

    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_it_pins_what_builds_this_package() -> None:
    """pip would fetch those by itself, without a hash; an editable install needs one more."""
    builds = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    wanted = {re.split(r"[^A-Za-z0-9-]", each)[0] for each in builds} | {"editables"}

    assert wanted <= {name for name, _ in PIN.findall(LOCK)}


@pytest.mark.parametrize(("file", "times"), [("README.md", 2), (".ci/run", 1)])
def test_installing_fetches_nothing_that_is_not_locked(file: str, times: int) -> None:
    installs = re.findall(r'pip"? install (-q .+?)(?: &&|$)', (ROOT / file).read_text(), re.MULTILINE)
    locked = ["-q --require-hashes --only-binary :all: -r requirements.lock", "-q --no-deps --no-build-isolation -e ."]

    assert installs == locked * times


def test_it_names_no_index_path_or_address() -> None:
    lines = [line for line in LOCK.splitlines() if not line.lstrip().startswith("#")]

    assert [line for line in lines if re.search(r"://|file:|^-|^/| @ |^\s*--(?!hash=)", line)] == []
