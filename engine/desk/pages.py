"""Values made into pages. Templates escape everything; nothing in them comes from another host."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from engine.limiting.clock import for_people
from engine.model.text import bare_urls, printable
from engine.runs.shared.report import duration, size
from engine.runs.status.progress import of_scope, run_line, scope_line, share
from engine.runs.status.slow import slowest


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("engine.desk"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "number": _number,
        "size": size,
        "duration": duration,
        "plain": _plain,
        "moment": _moment,
        "percent": share,
    }
    made.filters |= filters
    functions: dict[str, Callable[..., Any]] = {
        "of_scope": of_scope,
        "scope_line": scope_line,
        "run_line": run_line,
        "slowest": slowest,
        "polyline": polyline,
    }
    made.globals |= functions
    return made


def page(template: str, **values: Any) -> str:
    """The HTML of a template."""
    return _environment().get_template(f"{template}.html").render(**values)


def live(overview: dict[str, Any]) -> dict[str, str]:
    """The parts of the first page that change while it is looked at, by the names that the page gives them."""
    files, scope, progress = overview["files"], overview["scope"], overview["progress"]
    parts = {f"files.{name}": _number(count) for name, count in files.items() if name != "bytes"}
    parts |= {f"share.{name}": of_scope(count, scope) for name, count in files.items() if name not in {"bytes", "gone"}}
    parts |= {"bytes": size(files["bytes"]), "scope": scope_line(scope)}
    parts["run"] = run_line(progress) if overview["running"] and progress is not None else "no run is under way"
    done = files["backed_up"] + files["switched"] + files["rolled_back"]
    parts["bar"] = str(round(100 * done / scope["records"])) if scope["records"] else "0"
    return parts


def polyline(values: list[float], width: int = 600, height: int = 80) -> str:
    """Points of an SVG line through these values, from left to right; 0 is at the bottom."""
    if not values:
        return ""
    top = max([*values, 1e-9])
    step = width / max(1, len(values) - 1)
    return " ".join(f"{place * step:.1f},{height - height * value / top:.1f}" for place, value in enumerate(values))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def _plain(text: str | None) -> str:
    """Text from outside: no control letters, no signature of a presigned link."""
    return printable(bare_urls(text or ""))


def _moment(text: str | datetime | None) -> str:
    """A time as files have it, for a person."""
    return for_people(text) if text else ""
