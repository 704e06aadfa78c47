"""Servers every floor's tests may ask for, each started once in a process and only where a test wants it.

With ``pytest -n auto`` there are several such processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.rehearsal.objects import MotoProcess, ObjectServer
from tests.support.servers.seaweed import seaweed_server
from tests.support.servers.swift import swift_server


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay together: they share what is dear to make. Files go in their order, long ones first."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session")
def moto() -> Iterator[ObjectServer]:
    """A stand-in object store. Shared: use buckets of your own."""
    with MotoProcess() as server:
        yield server


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """OpenStack Swift's S3 API: real and strict. Shared: use buckets of your own."""
    with swift_server(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """SeaweedFS's S3 API: real, strict, and with checksums. Shared: use buckets of your own."""
    with seaweed_server(tmp_path_factory.mktemp("seaweed")) as server:
        yield server
