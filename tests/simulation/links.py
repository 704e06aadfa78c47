"""Links, and what lies behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.simulation.bucket import OURS, VENDOR

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld


def bad_copy(world: SimWorld, link: str, old: str) -> str:
    """Why a record's file cannot be opened under our link; empty: it can."""
    held = world.store.objects[OURS].get(key_of(link))
    if held is None:
        return "there is no object"
    if held.archived:
        return f"its object lies in {held.storage_class}"
    source = world.store.objects[VENDOR].get(key_of(old))
    if source is not None and held.body not in {source.body, *world.versions.get(key_of(old), ())}:
        return "its object holds another file's content"
    return ""


def key_of(link: str) -> str:
    return unquote(urlsplit(link).path.lstrip("/"))
