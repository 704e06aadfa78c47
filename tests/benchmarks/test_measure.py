"""What a measured command is started with."""

from __future__ import annotations

import pytest

from benchmarks.measure import clean_environment


def test_a_measured_command_gets_no_clouds_no_proxies_and_keeps_its_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = ("AWS_PROFILE", "RCLONE_CONFIG", "ENGINE_CONFIG", "https_proxy", "NO_PROXY", "PYTHONDONTWRITEBYTECODE")
    for name in (*left_out, "LANG"):
        monkeypatch.setenv(name, "C")

    assert set(clean_environment()) & {*left_out, "LANG"} == {"LANG"}
