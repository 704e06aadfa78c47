"""Workers as child processes, real ones: silence, death, refusal. They reach no store: nothing listens there."""

from __future__ import annotations

import asyncio
import pickle
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import __version__
from engine.limiting.bandwidth import Bandwidth
from engine.limiting.clock import SystemClock
from engine.model.errors import Blocked, Paused
from engine.model.record import ObjectShape
from engine.pipeline.routes import Routes
from engine.pipeline.work_batches import Beat, Lost, NotBegun, Seat, Share, WorkBatch
from engine.reading.load import load_settings
from engine.runs.executors.hello import Hello, copying_settings, differences
from engine.runs.executors.kept_logs import KeptLogs
from engine.runs.executors.processes import FUTILE, Processes, open_processes
from engine.runs.executors.session import Session
from engine.settings import Settings
from tests.support.children import alive, kill
from tests.support.commands import nobody
from tests.support.fakes.clock import ManualClock
from tests.support.pipeline import plan

SECRETS = ("secret-of-the-org", "secret-of-the-source", "secret-of-ours")


def no_probe(*_asked: object) -> Any:
    """Nobody knows a route here."""
    raise NotImplementedError


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    nowhere = nobody()
    keys = {"access_key_id": "id", "endpoint_url": nowhere, "region": "us-east-1"}
    document = {
        "salesforce": {
            "login_url": nowhere, "auth": "client_credentials", "client_id": "me", "client_secret": SECRETS[0],
        },
        "source": {"buckets": ["vendor"], "secret_access_key": SECRETS[1], **keys},
        "destination": {"bucket": "ours", "secret_access_key": SECRETS[2], **keys},
    }  # fmt: skip
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    file.chmod(0o600)
    return file


def settings_of(file: Path) -> Settings:
    return load_settings(file, environ={}, overrides={})


def hello_for(file: Path, **other: Any) -> Hello:
    hello = Hello(
        run="run",
        version=__version__,
        file=str(file),
        flags={},
        copying=copying_settings(settings_of(file)),
        shape=ObjectShape("DocListEntry__c", "Document__c", url_length=255, url_updateable=True),
        account_id=None,
        transport="fast",
        workers=2,
        now=SystemClock().now(),
        drain_s=1.0,
    )
    return replace(hello, **other)


class Ears:
    """Fits ``Told``."""

    def __init__(self) -> None:
        self.beats: list[str] = []
        self.left: list[str] = []

    def beat(self, worker: str, beat: Beat) -> None:
        self.beats.append(worker)

    def gone(self, worker: str) -> None:
        self.left.append(worker)


@asynccontextmanager
async def pool_of(hello: Any, workers: int = 1, silent_s: float = 30) -> AsyncIterator[tuple[Processes, Ears]]:
    async with asyncio.timeout(50), open_processes(workers, 1, hello, SystemClock(), silent_s=silent_s) as pool:
        yield pool, Ears()


def batch(number: int = 1) -> WorkBatch:
    return WorkBatch(number, [plan(number)], Share(4), [], [])


def process_of(seat: Seat) -> int:
    found: int = seat.process.pid  # type: ignore[attr-defined]
    return found


async def test_a_worker_that_is_stopped_for_too_long_is_given_up_and_replaced(settings_file: Path) -> None:
    async with pool_of(hello_for(settings_file), silent_s=8) as (pool, ears):
        seats = pool.seats(ears)
        first = await anext(seats)
        kill(process_of(first), signal.SIGSTOP)
        with pytest.raises(Lost):
            await first.do(batch())
        kill(process_of(first), signal.SIGCONT)
        second = await anext(seats)
        assert (first.worker, second.worker) == ("worker 1", "worker 2")
        assert ears.left == ["worker 1"]
        assert not alive(process_of(first))
        with pytest.raises(NotBegun):
            await first.do(batch())
    assert not alive(process_of(second))


async def test_whatever_workers_have_in_hand_they_end_with_the_run(settings_file: Path) -> None:
    async with pool_of(hello_for(settings_file), workers=2) as (pool, ears):
        seats = pool.seats(ears)
        two = [await anext(seats), await anext(seats)]
        work = [asyncio.ensure_future(seat.do(batch(number))) for number, seat in enumerate(two, 1)]
        await asyncio.sleep(0)
        children = [process_of(seat) for seat in two]
        assert all(map(alive, children))
    assert not any(map(alive, children))
    async with asyncio.timeout(5):
        assert [type(each) for each in await asyncio.gather(*work, return_exceptions=True)] == [Lost, Lost]


async def test_workers_that_cannot_start_end_the_run_with_their_last_words() -> None:
    async with pool_of(None) as (pool, ears):
        with pytest.raises(Paused, match="AttributeError") as caught:
            await anext(pool.seats(ears))
        assert "worker 5 ended with 1" in str(caught.value)
        assert caught.value.hint == "--executor local works in this process"
        assert len(ears.left) == FUTILE


async def test_another_version_is_refused_by_its_name(settings_file: Path) -> None:
    async with pool_of(hello_for(settings_file, version="0.0.1")) as (pool, ears):
        with pytest.raises(Blocked, match=rf"it has engine {__version__}, and the run has 0\.0\.1"):
            await anext(pool.seats(ears))


# without processes


def test_other_settings_and_clocks_are_named_key_by_key(settings_file: Path) -> None:
    settings, now = settings_of(settings_file), SystemClock().now()
    hello = hello_for(settings_file, now=now)
    assert list(differences(hello, __version__, settings, now)) == []
    theirs = replace(hello, copying={**hello.copying, "destination.region": "eu-west-9"})
    assert list(differences(theirs, __version__, settings, now)) == [
        "destination.region is 'us-east-1' there and 'eu-west-9' here"
    ]
    (late,) = differences(hello, __version__, settings, now + timedelta(minutes=6))
    assert "clock" in late


def test_no_secret_is_in_what_a_worker_is_told(settings_file: Path) -> None:
    told = pickle.dumps((hello_for(settings_file), 60.0))

    assert not [secret for secret in SECRETS if secret.encode() in told]


def test_warnings_are_kept_for_the_run_and_given_once() -> None:
    import structlog

    before = structlog.get_config()
    try:
        kept = KeptLogs()
        log = structlog.get_logger()
        log.info("not this")
        log.warning("narrow", limit=3)
        log.error("odd", exc_info=ValueError("why"))
        first, second = kept.take(), kept.take()
    finally:
        structlog.configure(**before)
    assert [(each["event"], each["level"]) for each in first] == [("narrow", "warning"), ("odd", "error")]
    assert (first[0]["limit"], first[1]["error"]) == ("3", "ValueError: why")
    assert second == []


async def test_a_worker_that_was_stopped_for_too_long_gives_up_by_itself() -> None:
    """A stop of the whole machine: nobody has killed it, but its files may be others' by now."""

    class Stopped:
        stops: list[float] = []  # noqa: RUF012

        def beat(self) -> Beat:
            return Beat(None)  # type: ignore[arg-type]

        def ask_to_stop(self, _reason: str, drain_s: float) -> None:
            self.stops.append(drain_s)

        async def do(self, _batch: WorkBatch) -> None:
            """As far as it got."""

    clock, worker = ManualClock(), Stopped()
    session = Session(worker, Routes(no_probe, reader=no_probe), Bandwidth(None, clock), clock, 60)  # type: ignore[arg-type]
    told: list[Beat] = []
    beating = asyncio.ensure_future(session.beat(told.append))
    for seconds in (1, 1, 59):
        await asyncio.sleep(0)
        clock.advance(seconds)
    await asyncio.sleep(0)
    assert (len(told), session.over) == (4, False)
    clock.advance(61)
    await asyncio.sleep(0)
    beating.cancel()
    assert (session.over, worker.stops) == (True, [0])
    with pytest.raises(Lost):
        await session.do(batch())
