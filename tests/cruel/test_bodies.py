"""Bodies that are not what their source holds: no copy of them is ever called one, and the others are copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from tests.support.corner import Corner
from tests.support.cruel import bodies
from tests.support.cruel.peer import Behaviour
from tests.support.cruel.world import Note, Route, Transport, world

GOOD = "backed_up"
DAMAGED = ("checksum_mismatch", "network", "source_changed")
PROOFS: dict[Route, set[str]] = {
    "stream": {"checksum", "etag"},
    "http": {"checksum", "etag"},
    "plain": {"received"},
}
ALL: tuple[Route, ...] = ("stream", "http", "plain")
TOLD: tuple[Route, ...] = ("stream", "http")
"""Where the source says what its bytes are. Of a plain server nobody can tell, where length and end are as they say."""


@dataclass(frozen=True)
class Case:
    """``ends``: how the odd ones may end; ``empty``: the one of 0 bytes; ``parts``: one is large enough for some."""

    name: str
    behaves: Callable[[], Behaviour]
    ends: tuple[str, ...]
    empty: tuple[str, ...] = (GOOD,)
    routes: tuple[Route, ...] = ALL
    parts: bool = False


CASES = [
    Case("true bytes", Behaviour, (GOOD,), parts=True),
    Case("a flipped bit", bodies.Flips, DAMAGED, routes=TOLD, parts=True),
    Case("cut under its length", bodies.Cuts, ("network",), (GOOD, "network"), parts=True),
    Case("cut, no length", bodies.CutsUntold, DAMAGED, (GOOD, "network"), parts=True),
    Case("chunks that end early", bodies.EndsEarly, DAMAGED, routes=TOLD, parts=True),
    Case("half, under a length of half", bodies.ToldShort, DAMAGED, routes=TOLD, parts=True),
    Case("more, under a length of more", bodies.ToldLong, DAMAGED, DAMAGED, routes=TOLD),
    Case("chunks, whole", bodies.Chunks, (GOOD,), parts=True),
    Case("whole, ended by a close", bodies.ClosesAtEnd, ("network",), (GOOD, "network")),
    Case("drop by drop", bodies.Drips, (GOOD,)),
    Case("keep-alive, closed all the same", bodies.Closes, (GOOD,)),
    Case("packed on the way", bodies.Packs, DAMAGED, DAMAGED, routes=TOLD),
    Case("another file's answer", partial(bodies.ForeignAnswer, "plain-0.pdf"), DAMAGED, DAMAGED, routes=("stream",)),
    Case("another file's bytes", bodies.ForeignBody, DAMAGED, routes=TOLD),
]
CELLS = [
    pytest.param(case, route, transport, id=f"{case.name}-{route}-{transport}")
    for case in CASES
    for route in case.routes
    for transport in (("fast", "sdk") if route == "stream" else ("fast",))
]
"""What the source says does not depend on the transport where it is no S3."""


@pytest.mark.parametrize(("case", "route", "transport"), CELLS)
def test_no_copy_holds_other_bytes(corner: Corner, note: Note, case: Case, route: Route, transport: Transport) -> None:
    with world(corner, route, transport, between=False) as place:
        place.make("0 B", "100 kB", "one PUT", *(["parts"] if case.parts and route != "plain" else []))
        behaviour = case.behaves()
        place.behave(behaviour)
        said = place.backup()
        assert said.code in {0, 3}, said.everything
        note(case.name, place)
        assert behaviour.met or type(behaviour) is Behaviour
        assert place.wrong() == []
        assert set(place.ends(odd=False).values()) == {GOOD}
        ends = place.ends(odd=True)
        assert ends.pop("0 B") in case.empty
        assert set(ends.values()) <= set(case.ends)
        assert place.proofs() <= PROOFS[route]
        if transport == "fast" and case.parts and route == "stream":
            place.verified()
