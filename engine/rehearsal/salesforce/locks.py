"""Parents held while a write is under way: writing a child locks its parent, and two calls cannot both have it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from engine.model.ids import is_id, to18
from engine.rehearsal.salesforce.wire import ApiRequest
from engine.rehearsal.salesforce.world import World

_WRITES = frozenset({"collections_update", "record_update"})


class ParentLocks:
    """Who is at which parent now. A call that arrives second fails on the rows of that parent, as after a long wait."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held: Counter[str] = Counter()

    def take(self, request: ApiRequest, field: str | None) -> frozenset[str]:
        """Hold the parents (by this reference field) of the rows a call writes; those already held come back taken."""
        if field is None or request.name not in _WRITES:
            return frozenset()
        parents = self._parents(_ids(request), field)
        request.taken = frozenset(parent for parent in parents if self._held[parent])
        self._held.update(parents)
        return parents

    def give_back(self, parents: frozenset[str]) -> None:
        """Let go of what ``take`` returned."""
        self._held.subtract(parents)
        self._held += Counter()  # drops the zeros

    def _parents(self, ids: list[str], field: str) -> frozenset[str]:
        groups: dict[str, list[str]] = {}
        for row_id in ids:
            groups.setdefault(row_id[:3], []).append(row_id)
        found: set[str] = set()
        for group in groups.values():
            found |= set(self._world.parents(group, field).values())
        return frozenset(found)


def _ids(request: ApiRequest) -> list[str]:
    if request.name == "record_update":
        texts: list[Any] = [request.params["id"]]
    else:
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return []
        records = body.get("records") if isinstance(body, dict) else None
        listed = records if isinstance(records, list) else []
        texts = [record.get("id", record.get("Id")) for record in listed if isinstance(record, dict)]
    return [to18(text) for text in texts if isinstance(text, str) and is_id(text)]
