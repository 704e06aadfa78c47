"""Copies that are missing, differ or cannot be seen are told before a link is moved to them."""

from __future__ import annotations

import pytest

from engine.limiting.retry import Retries
from engine.model.copy import CopyFault, ProvedCopy
from engine.model.errors import Blocked, Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.pipeline.presence import compare, confirm
from engine.s3.transfer.facts import facts_of
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.stores import FakeDestination, FakeObject, FakeSource

CLAIM = ProvedCopy("k", 3, "aa", "sha256:01", "checksum")
LATER = "Fri, 21 Dec 2029 00:00:00 GMT"


def frozen(storage_class: str, **told: str) -> ObjectFacts:
    """As a HEAD tells it."""
    more = {f"x-amz-{name.replace('_', '-')}": value for name, value in told.items()}
    return facts_of({"etag": '"aa"', "content-length": "3", "x-amz-storage-class": storage_class, **more})


@pytest.mark.parametrize(
    "found",
    [
        ObjectFacts(size=3, etag="aa"),
        ObjectFacts(size=3, etag="bb", checksums=(("sha256", "01"),)),
        ObjectFacts(size=3, etag=""),
        frozen("GLACIER_IR"),
        frozen("INTELLIGENT_TIERING"),
        frozen("INTELLIGENT_TIERING", restore='ongoing-request="false"'),  # it has come back for good
    ],
)
def test_a_copy_as_recorded_is_no_problem(found: ObjectFacts) -> None:
    assert compare(CLAIM, found) is None


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (None, CopyFault.MISSING),
        (ObjectFacts(size=4, etag="aa"), CopyFault.DIFFERS),
        (ObjectFacts(size=None, etag="aa"), CopyFault.DIFFERS),
        (ObjectFacts(size=3, etag="bb"), CopyFault.DIFFERS),
        (ObjectFacts(size=3, etag="bb", checksums=(("sha256", "02"),)), CopyFault.DIFFERS),
        (ObjectFacts(size=3, etag="bb", checksums=(("crc32", "01"),)), CopyFault.DIFFERS),
        (frozen("GLACIER"), CopyFault.ARCHIVED),
        (frozen("DEEP_ARCHIVE", restore='ongoing-request="true"'), CopyFault.ARCHIVED),
        (frozen("INTELLIGENT_TIERING", archive_status="ARCHIVE_ACCESS"), CopyFault.ARCHIVED),
        (frozen("GLACIER", restore=f'ongoing-request="false", expiry-date="{LATER}"'), CopyFault.EXPIRING),
    ],
)
def test_what_is_not_as_recorded_is_told(found: ObjectFacts | None, fault: CopyFault) -> None:
    problem = compare(CLAIM, found)
    assert problem is not None
    assert problem.fault is fault


class Grumpy(FakeDestination):
    """HEADs fail as ordered too."""

    async def facts(self, key: str) -> ObjectFacts | None:
        self.faults.strike("head", key)
        return await super().facts(key)


async def test_all_copies_are_looked_at_and_only_problems_are_returned() -> None:
    bucket = Grumpy(FakeSource(), {f"k{n}": FakeObject(b"abc") for n in range(50)})
    del bucket.objects["k7"]
    bucket.objects["k8"] = FakeObject(b"other")
    bucket.faults.order("head", "k9", *[Transient(FailureClass.NETWORK, "silence")] * 9)
    bucket.faults.order("head", "k10", Refused(FailureClass.DESTINATION_DENIED, "denied"))
    bucket.faults.order("head", "k11", Transient(FailureClass.THROTTLED, "slow down"))
    clock = ManualClock()
    claims = {str(n): ProvedCopy(f"k{n}", 3, "", "", "size") for n in range(50)}
    async with clock.running():
        problems = await confirm(bucket, claims, Retries(clock, 3), concurrency=4)
    assert {name: problem.fault for name, problem in problems.items()} == {
        "7": CopyFault.MISSING,
        "8": CopyFault.DIFFERS,
        "9": CopyFault.UNKNOWN,
        "10": CopyFault.UNKNOWN,
    }


async def test_what_stops_a_run_is_raised_as_it_is() -> None:
    bucket = Grumpy(FakeSource())
    bucket.faults.order("head", "k", Blocked("no such bucket"))
    with pytest.raises(Blocked, match="no such bucket"):
        await confirm(bucket, {"a00000000000001AAA": CLAIM}, Retries(ManualClock(), 5))
