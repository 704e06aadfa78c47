"""Answers that ours never give: refusals of one object, of conditions and checksums; odd listings and HEADs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from tests.support.corner import Corner
from tests.support.cruel import answers, bodies
from tests.support.cruel.answers import Listing, Refuses, error
from tests.support.cruel.peer import Behaviour
from tests.support.cruel.world import Note, Route, Transport, world
from tests.support.servers.capture import Reply

GOOD = "backed_up"
REFUSED = ("source_denied", "destination_denied", "rejected")
DAMAGED = ("checksum_mismatch", "network", "source_changed")
SIGNATURE = error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
DENIED = error(403, "AccessDenied")
UNHEARD = error(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
S3: tuple[Route, ...] = ("server_copy", "stream")
STREAM: tuple[Route, ...] = ("stream",)
WEB: tuple[Route, ...] = ("http", "plain")


@dataclass(frozen=True)
class Case:
    """``vendor`` and ``ours`` behave so, behaviour by behaviour; ``ends``: how the odd ones may end."""

    name: str
    routes: tuple[Route, ...]
    ends: tuple[str, ...]
    vendor: tuple[Callable[[], Behaviour], ...] = ()
    ours: tuple[Callable[[], Behaviour], ...] = ()
    listed: bool = True
    sizes: tuple[str, ...] = ("100 kB",)
    suffix: str = ".pdf"
    transports: tuple[Transport, ...] = ("fast", "sdk")


def listing(change: Callable[[str], str]) -> Callable[[], Behaviour]:
    return partial(Listing, change)


def refuses(reply: Reply, methods: str = "GET|HEAD|PUT", **more: object) -> Callable[[], Behaviour]:
    return partial(Refuses, reply, methods, **more)  # type: ignore[arg-type]


def every(reply: Reply, methods: str, header: str) -> Callable[[], Behaviour]:
    """Whoever asks so."""
    return partial(Refuses, reply, methods, header=header, odd="")


CASES = [
    # one object's oddity
    Case("one object's signature is wrong", S3, REFUSED, (refuses(SIGNATURE),)),
    Case("one object is denied", S3, REFUSED, (refuses(DENIED),), listed=False),
    Case("one object is a bad request", S3, REFUSED, (refuses(error(400, "InvalidRequest")),)),
    Case("one object is always an internal error", S3, ("network",), (refuses(error(500, "InternalError")),)),
    Case("HEAD of one object is a bare 403", S3, (*REFUSED, "network", GOOD), (refuses(DENIED, "HEAD"),), listed=False),
    Case("HEAD of one object is a bare 400", S3, (*REFUSED, "network", GOOD),
         (refuses(error(400, ""), "HEAD"),), listed=False),
    Case("our store takes one object's signature for wrong", STREAM, ("destination_denied", "rejected"),
         ours=(refuses(SIGNATURE, "PUT"),)),
    Case("our store denies one object", STREAM, ("destination_denied",), ours=(refuses(DENIED, "PUT"),)),
    Case("a redirect to elsewhere", ("stream", *WEB), ("redirected", "host_not_allowed"),
         (partial(bodies.Redirects, "http://127.0.0.9:9/other"),)),
    Case("a redirect to the same file", ("plain",), (GOOD,), (bodies.Redirects,)),
    # conditions, and what stores cannot do
    Case("409 once", S3, (GOOD,), ours=(refuses(error(409, "ConditionalRequestConflict"), "PUT", times=1),)),
    Case("412 once at a free key", S3, (GOOD,), ours=(refuses(error(412, "PreconditionFailed"), "PUT", times=1),)),
    Case("501 to If-None-Match", S3, (GOOD,), ours=(every(UNHEARD, "PUT|POST", "if-none-match"),)),
    Case("501 to checksums", STREAM, (GOOD,), ours=(every(UNHEARD, "PUT|POST", "x-amz-checksum-sha256"),)),
    Case("400 to checksums", STREAM, (GOOD,),
         ours=(every(error(400, "InvalidArgument", "x-amz-checksum-sha256"), "PUT", "x-amz-checksum-sha256"),)),
    Case("417 to Expect", STREAM, (GOOD,), ours=(every(Reply(417), "PUT", "expect"),),
         sizes=("one PUT",), transports=("fast",)),
    Case("conditions that nobody reads", S3, (GOOD,), ours=(answers.IgnoresConditions,)),
    # what our store holds and shows
    Case("a store that shows no sums", STREAM, (GOOD,), ours=(answers.ShowsNoSums,),
         sizes=("0 B", "100 kB", "one PUT", "parts")),
    Case("uploads are spoilt once on their way", STREAM, (GOOD,), ours=(answers.FlipsUploads,),
         sizes=("100 kB", "one PUT", "parts")),
    Case("the same, and no sums", STREAM, (GOOD, "checksum_mismatch"),
         ours=(answers.FlipsUploads, answers.ShowsNoSums), sizes=("100 kB", "one PUT", "parts")),
    Case("a copy holds other bytes", ("server_copy",), DAMAGED, (answers.CopiesOther,)),
    # lengths and listings
    Case("HEAD tells no length", S3, (GOOD,), (answers.HeadWithoutLength,), listed=False,
         sizes=("0 B", "100 kB", "one PUT")),
    Case("HEAD tells another length", STREAM, (GOOD, *DAMAGED),
         (partial(answers.HeadWithWrongLength, lambda n: n + 7),), listed=False),
    Case("a listing encoded without saying so", S3, (GOOD,), (listing(answers.encoded_without_saying_so),),
         suffix=" é+%&.pdf"),
    Case("a listing of other sizes", STREAM, (GOOD, *DAMAGED), (listing(answers.of_other_sizes),)),
]  # fmt: skip
CELLS = [
    pytest.param(case, route, transport, id=f"{case.name}-{route}-{transport}")
    for case in CASES
    for route in case.routes
    for transport in (case.transports if route == "stream" else ("fast",))
]


@pytest.mark.parametrize(("case", "route", "transport"), CELLS)
def test_one_odd_answer_is_one_records_affair(
    corner: Corner, note: Note, case: Case, route: Route, transport: Transport
) -> None:
    with world(corner, route, transport, listed=case.listed, between=bool(case.ours)) as place:
        place.make(*case.sizes, suffix=case.suffix)
        theirs, mine = [made() for made in case.vendor], [made() for made in case.ours]
        if route == "server_copy":
            theirs, mine = [*theirs, *mine], []
        place.behave(*theirs)
        if mine:
            place.ours.behave(*mine)
        said = place.backup()
        assert said.code in {0, 3}, said.everything
        note(case.name, place)
        assert all(behaviour.met for behaviour in (*theirs, *mine))
        assert place.wrong() == []
        assert set(place.ends(odd=False).values()) <= ({GOOD} if case.ends != (GOOD, *DAMAGED) else {GOOD, *DAMAGED})
        assert set(place.ends(odd=True).values()) <= set(case.ends)
        assert (said.code == 3) is (set(place.ends(odd=True).values()) | set(place.ends(odd=False).values()) != {GOOD})


@pytest.mark.parametrize("route", S3)
def test_one_odd_object_among_300_leaves_299(corner: Corner, note: Note, route: Route) -> None:
    with world(corner, route) as place:
        place.make("100 kB", ordinary=299)
        place.behave(Refuses(SIGNATURE))
        said = place.backup()
        assert said.code == 3, said.everything
        note("one object's signature among 300", place)
        assert place.wrong() == []
        assert list(place.ends(odd=False).values()) == [GOOD] * 299
        (end,) = place.ends(odd=True).values()
        assert end in REFUSED
        assert said.json["failures"] == {end: 1}


def test_a_listing_that_goes_on_nowhere_is_no_listing(corner: Corner) -> None:
    with world(corner, "stream") as place:
        place.make("100 kB")
        for peer in (place.vendor, place.ours):
            peer.behave(Listing(answers.truncated_without_token))
        said = place.backup()
        assert said.code == 4
        assert "cannot be listed" in said.err
        said = place.backup(ENGINE_SOURCE__INVENTORY="never")
        assert said.code == 0, said.everything
        verified = corner.engine("verify", "--json")
        assert (verified.code, verified.json["counts"]["match"]) == (0, len(place.files))
