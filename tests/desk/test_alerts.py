"""Alert rules and the Grafana dashboard name metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.desk import metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES, DASHBOARD = DEPLOY / "prometheus" / "alerts.yml", DEPLOY / "grafana" / "dashboard.json"


def everything() -> dict[str, Any]:
    """An overview of which every metric can be made."""
    sample: dict[str, Any] = dict.fromkeys((*metrics._OF_A_SAMPLE, "lag_ms", "rss_mb"), 1.0)
    sample["workers"] = [{"name": "worker 1"} | dict.fromkeys(metrics._OF_A_WORKER, 1.0)]
    return {
        "files": {"tracked": 1, "backed_up": 1, "bytes": 5},
        "errors": [{"failure_class": "internal", "count": 1}],
        "scope": {"records": 1, "complete": True},
        "running": True,
        "in_doubt": 0,
        "unproved": 0,
        "succeeded": {"backup": "2026-12-01T00:00:00.000Z"},
        "api": {"used": 1, "max": 2},
        "trend": [sample],
    }


def expressions() -> list[str]:
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return rules + [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_name_is_a_metric() -> None:
    there = set(re.findall(r"^# HELP (\w+)", metrics.text(everything()).decode(), re.MULTILINE))
    named = {name for text in expressions() for name in re.findall(r"engine_\w+", text)}
    assert named - there == set()
    assert len(named) > 10


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    subprocess.run([promtool, "check", "rules", RULES], check=True, capture_output=True)
