"""One stage for all of these tests; each test has a corner of its own on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.rehearsal.stage import OUR_BUCKET, Stage, stage
from tests.support.answers import Story
from tests.support.corner import Corner, Whole
from tests.support.legacy import Migrated

RECORDS = 120


@pytest.fixture(scope="session")
def the_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        mine = {"network": {"loopback_only": False}}  # the tests steer by the environment
        play = stage(tmp_path_factory.mktemp("stage"), RECORDS, 7, overrides=mine)
        yield runner.run(play.__aenter__())
        runner.run(play.__aexit__(None, None, None))


@pytest.fixture
def corner(the_stage: Stage, tmp_path: Path) -> Iterator[Corner]:
    """A corner without records; both stand-ins behave before and after, and tell our time."""
    place = Corner(the_stage, tmp_path)
    yield place
    place.calm()
    place.same_time()


@pytest.fixture(scope="session")
def whole(the_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The generator's whole world, backed up once. For tests that only look."""
    place = Corner(the_stage, tmp_path_factory.mktemp("whole"), tag="whole")
    place.bucket, place.database = OUR_BUCKET, the_stage.directory / "migration_tracking.db"
    place.env |= {"ENGINE_DESTINATION__BUCKET": OUR_BUCKET, "ENGINE_TRACKING__DATABASE": str(place.database)}
    place.env["ENGINE_SALESFORCE__WHERE"] = "Type_Current__c = 'Document'"
    place.forget_requests()
    place.forget_calls()
    said = place.process("run", "backup", "--full")
    return Whole(place, said, place.source_methods(), place.calls())


@pytest.fixture(scope="session")
def story(the_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Every command that takes ``--json`` has answered."""
    corner = Corner(the_stage, tmp_path_factory.mktemp("answers"))
    told = Story(corner)
    told.play()
    yield told
    corner.calm()


@pytest.fixture
def old(corner: Corner) -> Iterator[Migrated]:
    migrated = Migrated(corner)
    yield migrated
    migrated.scripts.close()
