"""requirements.lock: the same pins as uv.lock, every one with hashes, and nothing that only one machine has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

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


def test_it_names_no_index_path_or_address() -> None:
    lines = [line for line in LOCK.splitlines() if not line.lstrip().startswith("#")]

    assert [line for line in lines if re.search(r"://|file:|^-|^/| @ |^\s*--(?!hash=)", line)] == []
