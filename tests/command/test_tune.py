"""`engine tune`: bounded, read only unless allowed, and honest about what it did not measure."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.object_faults import Fault
from tests.support.corner import Corner, Said, ended, until, wait
from tests.support.servers.proxy import fault_proxy

REAL = ("tune", "--real", "--requests", "100", "--concurrency", "2", "--concurrency", "8", "--json")
COUNTED = {2: 5 * 19, 8: 5 * 18}
"""Requests of five rounds at this concurrency; as many as are in flight have opened the connections before."""


def test_real_endpoints_see_a_bounded_number_of_reads(corner: Corner) -> None:
    corner.files(12)
    corner.forget_requests()
    said = corner.engine(*REAL)
    asked = wait(corner.stage.objects.requests())
    assert said.code == 0, said.everything
    found = said.json

    assert {each["value"]: each["done"] for each in found["sweeps"]["concurrency"]} == COUNTED
    assert all(each["per_second"] > 0 for each in found["sweeps"]["concurrency"])
    assert found["use"]["migration"]["queue_size"] == 10 * found["use"]["migration"]["concurrency"]
    assert found["not_measured"] == ["queue_size"]
    assert corner.methods() <= {"HEAD", "GET"}
    assert sum(each.path.startswith(f"/{VENDOR_BUCKET}/") for each in asked) <= 2 * 100 + 12 + 30
    assert corner.held() == {}
    assert not corner.database.exists()
    assert [path for path in corner.directory.iterdir() if path.name.startswith(".engine-tune")] == []


def test_writes_go_under_a_prefix_of_their_own_and_are_told(corner: Corner) -> None:
    corner.files(3)
    said = corner.engine(*REAL, "--allow-writes")
    held = corner.held()

    assert said.code == 0, said.everything
    assert len(held) == sum(COUNTED.values()) + sum(COUNTED)
    assert all(key.startswith("engine-tune/") for key in held)
    assert any(f"s3://{corner.bucket}/engine-tune/" in note for note in said.json["notes"])


def test_bytes_that_pass_this_machine_are_measured_by_gets(corner: Corner) -> None:
    async def two_stores() -> Said:
        async with fault_proxy(corner.stage.store.url) as other:
            return await asyncio.to_thread(corner.process, *REAL, ENGINE_DESTINATION__ENDPOINT_URL=other.url)

    corner.files(3)
    corner.forget_requests()
    said = wait(two_stores())

    assert said.code == 0, said.everything
    assert "GETs" in said.json["measured"]
    assert "by stream" in said.json["measured"]
    assert corner.writes() == 0


@pytest.mark.parametrize(
    ("words", "env"),
    [(("tune", "--allow-writes"), {}), ((*REAL, "--allow-writes"), {"ENGINE_MIGRATION__DRY_RUN": "true"})],
)
def test_writes_that_are_barred_are_a_usage_error(corner: Corner, words: tuple[str, ...], env: dict[str, str]) -> None:
    assert corner.engine(*words, **env).code == 2


def test_an_org_without_files_is_told(corner: Corner) -> None:
    said = corner.engine(*REAL)

    assert said.code == 4
    assert "no small file could be read" in said.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_rehearsed_sweep_that_is_stopped_leaves_no_process_and_no_file(
    corner: Corner, number: signal.Signals, code: int
) -> None:
    room = corner.directory / "room"
    room.mkdir()
    words = ("tune", "--records", "400", "--concurrency", "1", "--latency-ms", "500")
    run = corner.start(*words, TMPDIR=str(room))
    until(lambda: list(room.glob("*/concurrency-1-1.db*")), "the backup of the rehearsal is under way")
    children = below(run.pid)
    assert len(children) >= 3
    run.send_signal(number)
    said = ended(run)
    assert said.code == code, said.everything
    assert "Traceback" not in said.everything
    assert list(room.iterdir()) == []
    assert [each for each in children if Path(f"/proc/{each}").exists()] == []


@pytest.mark.parametrize("words", [(*REAL, "--requests", "10000"), ("analyze", "--json")])
def test_work_on_real_endpoints_that_is_stopped_leaves_no_file(corner: Corner, words: tuple[str, ...]) -> None:
    corner.files(30)
    corner.forget_requests()
    corner.env["ENGINE_SOURCE__INVENTORY"] = "never"
    wait(corner.stage.objects.misbehave(Fault("delay", seconds=1.0)))
    room = corner.directory / "room"
    room.mkdir()
    run = corner.start(*words, TMPDIR=str(room))
    asked = corner.stage.objects.requests
    until(lambda: [each for each in wait(asked()) if corner.tag in each.path], "it is under way")
    run.send_signal(signal.SIGTERM)
    said = ended(run)
    assert said.code == 143, said.everything
    assert "Traceback" not in said.everything
    assert list(room.iterdir()) == []


def below(parent: int) -> list[int]:
    """The processes that this one has started."""
    return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
