"""Cutting a scope into ranges of Ids that can be read side by side.

Every boundary is the Id of a record that the server named when it was asked within the range to be cut. So ranges join
without gap or overlap in the server's own order, whatever that is. Arithmetic only says where to ask. Ids often lie in
clusters, far apart (instances, blocks of numbers): each guess asks for the records on both of its sides, which skips
the empty space at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from engine.limiting.side_by_side import first_of
from engine.model.id_space import id_at, position
from engine.model.record import IdRange, Scope
from engine.salesforce.faults import QueryTooSlow

T = TypeVar("T")

CALLS_A_PART = 3
"""API calls that a part may cost in all."""
_SLIVER = 16
"""A piece that is so many times narrower than the widest is not worth a range of its own."""


class Edges(Protocol):
    """The part of ``SalesforcePages`` that is needed here."""

    async def edge(
        self, scope: Scope, *, beyond: str | None = None, up_to: str | None = None, last: bool = False
    ) -> str | None: ...


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range, and the outermost of the Ids that matter in it."""

    after: str | None
    until: str | None
    first: str
    last: str

    @property
    def width(self) -> int:
        return position(self.last) - position(self.first)


async def ranges(pages: Edges, scope: Scope, parts: int) -> list[IdRange]:
    """The scope in at most ``parts`` ranges of about the same width, in the server's order; one where it holds little.

    Costs at most three calls a part, several of them at a time. Where the org is too slow for them, it is one range.
    """
    whole = IdRange(scope.after_id, scope.until_id)
    try:
        return await _ranges(pages, scope, parts) if parts > 1 else [whole]
    except QueryTooSlow:
        return [whole]


async def _ranges(pages: Edges, scope: Scope, parts: int) -> list[IdRange]:
    first, last = await _together(pages.edge(scope), pages.edge(scope, last=True))
    if first is None or last is None:
        return [IdRange(scope.after_id, scope.until_id)]
    pieces, calls = [_Piece(scope.after_id, scope.until_id, first, last)], CALLS_A_PART * parts - 2
    while chosen := _to_cut(pieces, parts)[: calls // 2]:
        calls -= 2 * len(chosen)
        cuts = dict(zip(chosen, await _together(*(_cut(pages, scope, piece) for piece in chosen)), strict=True))
        pieces = [part for piece in pieces for part in cuts.get(piece, [piece])]
    return [IdRange(piece.after, piece.until, last=piece.last) for piece in _joined(pieces, parts)]


def _to_cut(pieces: list[_Piece], parts: int) -> list[_Piece]:
    """The pieces to cut next: as many as ``parts`` wide ones lack, each at least half as wide as the widest."""
    widest = max(piece.width for piece in pieces)
    wanted = parts - sum(_SLIVER * piece.width >= widest for piece in pieces)
    wide = [piece for piece in pieces if piece.width > 0 and 2 * piece.width >= widest]
    return sorted(wide, key=lambda piece: -piece.width)[: max(0, wanted)]


async def _cut(pages: Edges, scope: Scope, piece: _Piece) -> list[_Piece]:
    """The piece in two; where one side holds nothing, it is one piece, but narrower."""
    guess = id_at((position(piece.first) + position(piece.last)) // 2)
    within = replace(scope, after_id=piece.after, until_id=piece.until)
    before, behind = await _together(pages.edge(within, up_to=guess, last=True), pages.edge(within, beyond=guess))
    if before is None or behind is None:
        return [replace(piece, first=behind or piece.first, last=before or piece.last)]
    return [replace(piece, until=before, last=before), replace(piece, after=before, first=behind)]


def _joined(pieces: list[_Piece], parts: int) -> list[_Piece]:
    """Slivers and surplus pieces joined to a neighbour. A pair keeps the outermost Ids of its wider piece."""
    pieces, widest = list(pieces), max(piece.width for piece in pieces)
    while len(pieces) > 1:
        narrowest = min(range(len(pieces)), key=lambda at: pieces[at].width)
        if len(pieces) <= parts and _SLIVER * pieces[narrowest].width >= widest:
            break
        left = max(0, narrowest - 1)
        if 0 < narrowest < len(pieces) - 1 and pieces[narrowest + 1].width < pieces[left].width:
            left = narrowest
        one, other = pieces[left : left + 2]
        wider = max(one, other, key=lambda piece: piece.width)
        pieces[left : left + 2] = [replace(wider, after=one.after, until=other.until)]
    return pieces


async def _together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All results; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None
    return [task.result() for task in tasks]
