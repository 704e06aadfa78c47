"""What a worker's own rights are worth, seen before its first batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.errors import Blocked, Refused, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.plan import Plan
from engine.pipeline.routes import RouteKnown, Routes
from engine.pipeline.work_batches import Share, WorkBatch
from engine.runs.executors.rights import SAMPLES, check_rights
from tests.support.pipeline import World, pinned, plan

DENIED = Refused(FailureClass.SOURCE_DENIED, "no")
READ_BY_THE_RUN = ("vendor", Method.STREAM, "test")


class Place:
    """A worker's, whose rights can be taken away file by file."""

    def __init__(self, count: int = 40) -> None:
        self.world = World()
        self.world.fill(*range(1, count + 1))
        self.works = [pinned(self.world, number) for number in range(1, count + 1)]

    def deny(self, *works: Plan, error: Exception = DENIED) -> None:
        for work in works:
            self.world.source.faults.order("head", work.source.key, error)  # type: ignore[arg-type]

    async def check(self, works: list[Plan] | None = None, routes: tuple[RouteKnown, ...] = (READ_BY_THE_RUN,)) -> int:
        """How many sources were looked at."""
        known = Routes(_no_probe, reader=lambda _method: self.world.source)
        known.adopt(routes)
        batch = WorkBatch(1, list(self.works if works is None else works), Share(4), [], list(routes))
        await check_rights(batch, known)
        return sum(verb == "head" for verb, _ in self.world.source.calls.elements())


async def _no_probe(*_: object) -> None:
    raise AssertionError("the run has settled the route")


async def test_one_file_that_can_be_read_is_enough() -> None:
    place = Place()
    assert await place.check() == 1

    place = Place()
    place.deny(place.works[0], place.works[10])
    assert await place.check() == 3


async def test_a_worker_that_may_read_none_is_refused_with_what_its_role_needs() -> None:
    place = Place()
    place.deny(*place.works)
    with pytest.raises(Blocked, match="may not read s3://vendor, and the run may") as refused:
        await place.check()

    assert "s3:GetObject" in str(refused.value.hint)
    assert sum(place.world.source.calls.values()) == SAMPLES


@pytest.mark.parametrize(
    "error",
    [Refused(FailureClass.SOURCE_MISSING, "gone"), Transient(FailureClass.THROTTLED, "slow down")],
    ids=["missing", "throttled"],
)
async def test_what_is_no_denial_says_nothing(error: Exception) -> None:
    place = Place()
    place.deny(*place.works, error=error)

    assert await place.check() == 1


async def test_files_of_which_a_denial_may_mean_that_they_are_missing_are_not_asked_for() -> None:
    place = Place()
    place.deny(*place.works)

    assert await place.check([plan(1), plan(2)]) == 0, "no listing has shown them"
    assert await place.check(routes=()) == 0, "the run itself may not be able to read them"
    own_right = [replace(each, source=replace(each.source, presigned=True)) for each in place.works]
    assert await place.check(own_right) == 0
    assert await place.check([]) == 0
