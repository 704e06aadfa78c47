"""Finding: one result of doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.model.command import Advice


class Level(StrEnum):
    """How serious it is. ``block``: a run would fail or do harm. ``unknown``: it could not be checked."""

    OK = "ok"
    WARN = "warn"
    BLOCK = "block"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was found, and how to ``fix`` it; both for a person."""

    check: str
    """A stable word: scripts group by it."""
    level: Level
    what: str
    fix: Advice = ""


def ok(check: str, what: str) -> Finding:
    return Finding(check, Level.OK, what)


def warn(check: str, what: str, fix: Advice) -> Finding:
    return Finding(check, Level.WARN, what, fix)


def block(check: str, what: str, fix: Advice) -> Finding:
    return Finding(check, Level.BLOCK, what, fix)


def unknown(check: str, what: str, fix: Advice) -> Finding:
    return Finding(check, Level.UNKNOWN, what, fix)
