"""The stage of the cruel world, and the table of what ran in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from engine.rehearsal.stage import Stage, stage
from tests.support.corner import Corner
from tests.support.cruel.world import Note, Route, Transport, World

COLUMNS = [f"{route} {transport}" for route in get_args(Route) for transport in get_args(Transport)]
_cells: dict[str, dict[str, str]] = {}
"""By behaviour and column."""


@pytest.fixture(scope="session")
def the_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        mine = {"network": {"loopback_only": False}}  # the tests steer by the environment
        play = stage(tmp_path_factory.mktemp("cruel"), 1, 7, overrides=mine)
        yield runner.run(play.__aenter__())
        runner.run(play.__aexit__(None, None, None))


@pytest.fixture
def corner(the_stage: Stage, tmp_path: Path) -> Iterator[Corner]:
    place = Corner(the_stage, tmp_path)
    yield place
    place.calm()


@pytest.fixture
def note() -> Note:
    """Takes into the table what a world of such a behaviour ended as."""

    def take(behaviour: str, world: World) -> None:
        _cells.setdefault(behaviour, {})[world.column] = world.told()

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _cells:
        return
    terminalreporter.section("the cruel world: what each record ended as")
    for behaviour, cells in _cells.items():
        terminalreporter.write_line(behaviour)
        for column in COLUMNS:
            if column in cells:
                terminalreporter.write_line(f"    {column:<18}{cells[column]}")
