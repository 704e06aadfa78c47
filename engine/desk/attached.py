"""What only other commands know, as they wrote it: a sweep, doctor's findings, a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model.command import Advice, Command
from engine.model.errors import Usage
from engine.runs.links.plan_file import open_plan
from engine.settings import Settings

SWEEP = (
    "org_id", "begun", "watch", "searched_for", "complete", "record_count", "fields_searched", "objects_searched",
)  # fmt: skip
DOCTOR = ("org_id", "at", "purpose", "findings")
"""Keys without which an answer says too little."""


@dataclass(frozen=True, slots=True)
class Attached:
    """Files that were named; None: not attached."""

    sweep: Path | None = None
    doctor: Path | None = None
    plan: Path | None = None

    def read(self, settings: Settings) -> dict[str, Any]:
        """By ``sweep``, ``doctor`` and ``plan``; None for what is not attached. Raises Usage, Differs."""
        return {
            "sweep": _answer("--sweep", self.sweep, SWEEP, Command("sweep --json")),
            "doctor": _answer("--doctor", self.doctor, DOCTOR, Command("doctor --for switch --json")),
            "plan": None if self.plan is None else _plan(self.plan, settings),
        }


def _answer(flag: str, file: Path | None, names: Sequence[str], made_by: Command) -> Mapping[str, Any] | None:
    """What a command printed as JSON."""
    if file is None:
        return None
    makes: Advice = (made_by, " > FILE   makes one")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
        missing = [name for name in names if name not in found]
        if any(not {"check", "level", "what"} <= set(each) for each in found.get("findings", [])):
            missing.append("check, level or what of a finding")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Usage(f"{flag} {file} cannot be read: {error}", hint=makes) from error
    if missing:
        raise Usage(f"{flag} {file} is no such answer: it has no {missing[0]}", hint=makes)
    return dict(found)


def _plan(file: Path, settings: Settings) -> dict[str, Any]:
    """Checked from its first byte to its last. Whether it fits the org is asked when it is applied."""
    template = settings.destination.link_template
    with open_plan(file, lambda _header: "", template.url) as plan:
        return {"file": file.name, "links": plan.count, "sha256": plan.sha256, **plan.header}
