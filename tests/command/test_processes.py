"""Copies made in several processes: what is lost is made good, and nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from tests.support.children import alive, command_line, kill, workers_of
from tests.support.corner import Corner, ended, until, wait

TWO = ("--executor", "processes:2")
BACKUP = ("run", "backup", "--full", "--no-progress", *TWO)
RESUME = ("run", "backup", "--incremental", "--no-progress", *TWO)
SMALL = {"ENGINE_EXECUTOR__LEASE_FILES": "6", "ENGINE_MIGRATION__CONCURRENCY": "4"}
MIB = 1 << 20

#: By the way the bytes go: what a file is like, and the request that is held up while its worker is killed.
WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "server_copy": (400, {"method": "PUT"}),
    "stream": (400, {"method": "PUT"}),
    "multipart": (21 * MIB, {"method": "PUT", "path": "partNumber"}),
}


def prepared(corner: Corner, way: str, count: int, seconds: float = 0.4) -> list[str]:
    """Files whose copies take a while; settings by which batches are small."""
    size, held = WAYS[way]
    corner.env |= SMALL
    if way == "multipart":
        corner.env |= {"ENGINE_MIGRATION__PART_SIZE_MB": "5", "ENGINE_EXECUTOR__LEASE_FILES": "1"}
    ids = corner.files(count, size=size)
    faults: list[dict[str, Any]] = [{"kind": "delay", "seconds": seconds, **held}]
    if way != "server_copy":  # the vendor's bucket is left to the source's own keys
        corner.env["ENGINE_DESTINATION__ACCESS_KEY_ID"] = "ours"
        faults.append({"kind": "access_denied", "path": VENDOR_BUCKET, "header": "[cC]redential=ours/"})
    corner.misbehave_all(*reversed(faults))
    return ids


def started(corner: Corner, *words: str, workers: int = 2) -> tuple[subprocess.Popen[str], list[int]]:
    """A run whose workers have work in hand; and these."""
    run = corner.start(*(words or BACKUP))
    until(lambda: len(workers_of(run.pid)) == workers, "the workers are there")
    until(lambda: wait(corner.stage.objects.fired())[-1] > 2, "copies are under way")
    return run, workers_of(run.pid)


def all_is_well(corner: Corner, ids: list[str]) -> None:
    """N rows, N objects, nothing overwritten, nothing left open; verify agrees."""
    assert set(corner.rows()) == set(ids)
    assert {row["status"] for row in corner.rows().values()} == {"backed_up"}
    assert len(corner.held()) == len(ids)
    made = [
        each.path
        for each in wait(corner.stage.objects.requests())
        if each.path.startswith(f"/{corner.bucket}/") and each.status == 200
        if (each.method, "uploadId" in each.query) in {("PUT", False), ("POST", True)}
    ]
    assert len(made) == len(set(made)), "an object was overwritten"
    assert wait(corner.stage.objects.open_uploads(corner.bucket)) == []
    corner.calm()
    assert corner.engine("verify", "--json").code == 0


def reads_of_the_source(corner: Corner) -> int:
    """Bodies that were read from the vendor's bucket."""
    asked = wait(corner.stage.objects.requests())
    return sum(each.method == "GET" and each.path.startswith(f"/{VENDOR_BUCKET}/{corner.tag}/") for each in asked)


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_is_killed_costs_nothing_but_time(corner: Corner, way: str) -> None:
    ids = prepared(corner, way, 30 if way != "multipart" else 5)
    run, workers = started(corner, *BACKUP[:-1], "processes:1", workers=1)
    lines = [command_line(each) for each in workers]
    kill(workers[0])
    said = ended(run)

    assert said.code == 0, said.everything
    assert "worker_lost" in said.err
    assert ("server_copy" if way == "server_copy" else "stream") in {row["method"] for row in corner.rows().values()}
    assert all(line.split()[1:] == ["-P", "-m", "engine.commands.worker"] for line in lines)
    for secret in ("rehearsal-secret", corner.stage.store.secret_key):
        assert secret not in said.everything + corner.logged()
    all_is_well(corner, ids)
    if way != "server_copy":
        assert reads_of_the_source(corner) <= len(ids) + 2 * 6, "more than the batches in hand was read again"


def test_all_workers_killed_at_once_are_replaced(corner: Corner) -> None:
    ids = prepared(corner, "server_copy", 30)
    run, workers = started(corner)
    for each in workers:
        kill(each)
    said = ended(run)

    assert said.code == 0, said.everything
    assert "worker_lost" in said.err
    all_is_well(corner, ids)


def test_when_the_run_is_killed_its_workers_end_and_a_resume_brings_the_rest(corner: Corner) -> None:
    ids = prepared(corner, "multipart", 5)
    run, workers = started(corner)
    run.kill()
    ended(run)
    until(lambda: not any(map(alive, workers)), "the workers have ended by themselves", 10)
    assert wait(corner.stage.objects.open_uploads(corner.bucket)) == []
    corner.misbehave()
    said = corner.process(*RESUME)

    assert said.code == 0, said.everything
    all_is_well(corner, ids)


def test_a_signal_drains_the_workers_and_a_resume_brings_the_rest(corner: Corner) -> None:
    ids = prepared(corner, "server_copy", 40)
    run, workers = started(corner)
    run.send_signal(signal.SIGINT)
    said = ended(run)

    assert said.code == 130, said.everything
    assert "engine run backup --incremental --executor processes:2   resumes" in said.out
    assert not any(map(alive, workers))
    assert len(corner.held()) == corner.recorded() < len(ids), "an object without its row"
    corner.misbehave()
    assert corner.process(*RESUME).code == 0
    all_is_well(corner, ids)


def test_the_drain_limit_cuts_what_workers_have_and_leaves_no_upload_open(corner: Corner) -> None:
    ids = prepared(corner, "multipart", 5, seconds=4)
    corner.env["ENGINE_MIGRATION__DRAIN_SECONDS"] = "2"
    run, workers = started(corner)
    run.send_signal(signal.SIGTERM)
    said = ended(run)

    assert said.code == 143, said.everything
    assert not any(map(alive, workers))
    assert wait(corner.stage.objects.open_uploads(corner.bucket)) == []
    corner.misbehave()
    assert corner.process(*RESUME).code == 0
    all_is_well(corner, ids)


def test_other_settings_at_the_workers_are_refused_before_a_file_is_touched(corner: Corner) -> None:
    """The file is edited while the run waits for its login."""
    corner.files(3)
    file = corner.directory / "settings.yaml"
    text = corner.stage.settings_file.read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    corner.org("faults", rules=[{"kind": "slow", "endpoint": "token", "params": {"seconds": 3}}])
    run = corner.start(*BACKUP, ENGINE_CONFIG=str(file))
    until(lambda: corner.database.exists(), "the settings are read")
    file.write_text(text.replace("us-west-2", "eu-west-9"), encoding="utf-8")
    said = ended(run)

    assert said.code == 4, said.everything
    assert "source.region is 'eu-west-9' there and 'us-west-2' here" in said.err
    assert corner.held() == {}
    assert corner.rows() == {}


def test_a_few_files_a_limit_and_a_dry_run_take_an_executor_too(corner: Corner) -> None:
    ids = corner.files(5)
    dry = corner.engine(*BACKUP, "--dry-run")
    assert (dry.code, corner.recorded()) == (0, 0), dry.everything
    assert "engine run backup --full --executor processes:2" in dry.out
    some = corner.process("run", "backup", "--full", "--limit", "2", "--executor", "processes:1", "--json")
    assert (some.code, some.json["records"]["backed_up"]) == (0, 2), some.everything
    assert corner.process(*BACKUP).code == 0
    all_is_well(corner, ids)


@pytest.mark.parametrize(
    "wrong", ["processes:0", "processes:", "processes:x", "processes:-1", "threads:4", "", "processes:999"]
)
def test_an_executor_that_is_none_is_a_usage_error(corner: Corner, wrong: str) -> None:
    said = corner.engine("run", "backup", "--full", "--executor", wrong)

    assert said.code == 2, said.everything
    assert "executor" in said.err
    assert "Traceback" not in said.err
