"""Copies made on a Dask cluster: a real scheduler and real workers, each a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import Blocked
from engine.rehearsal.generator import VENDOR_BUCKET
from engine.runs.executors.dask_client import connected
from engine.settings.executor import ExecutorSettings
from tests.support.authority import Authority
from tests.support.commands import BACKUP, nobody, refused
from tests.support.corner import Corner, ended, until, wait
from tests.support.servers.dask import Cluster

pytest.importorskip("distributed")

JSON = (*BACKUP, "--json")
RESUME = ("run", "backup", "--incremental", "--no-progress")
TLS = ("ENGINE_EXECUTOR__TLS_CA_FILE", "ENGINE_EXECUTOR__TLS_CERT_FILE", "ENGINE_EXECUTOR__TLS_KEY_FILE")


@contextmanager
def cluster_for(corner: Corner, workers: int = 2) -> Iterator[Cluster]:
    """Workers with the settings of this corner."""
    with Cluster(corner.directory / "dask", corner.environment()) as cluster:
        for _ in range(workers):
            cluster.worker()
        cluster.ready()
        yield cluster


def test_a_backup_on_a_cluster_ends_as_one_in_this_process(corner: Corner, tmp_path: Path) -> None:
    """Row by row, but for times."""
    corner.files(60)
    assert corner.engine(*BACKUP).code == 0
    here = comparable(corner)
    corner.start_over(tmp_path / "again")

    with cluster_for(corner) as cluster:
        said = corner.process(*JSON, "--executor", cluster.address)

    assert said.code == 0, said.everything
    assert said.json["records"]["backed_up"] == 60
    assert "2 workers, 8 threads; its dashboard is http://127.0.0.1:" in said.err
    assert comparable(corner) == here
    assert len(corner.held()) == corner.writes() == 60


def slow(corner: Corner, count: int, seconds: float = 0.3) -> list[str]:
    """Files whose copies take a while each, in small batches."""
    ids = corner.files(count)
    corner.misbehave(kind="delay", method="PUT", seconds=seconds)
    corner.env |= {"ENGINE_MIGRATION__CONCURRENCY": "4", "ENGINE_EXECUTOR__LEASE_FILES": "4"}
    return ids


def under_way(corner: Corner, cluster: Cluster) -> subprocess.Popen[str]:
    run = corner.start(*JSON, "--executor", cluster.address)
    until(lambda: corner.recorded() > 3, "the first outcomes are recorded")
    return run


def whole(corner: Corner, ids: list[str]) -> None:
    """Every record has a row, and every row an object that was written once."""
    assert {name: row["status"] for name, row in corner.rows().items()} == dict.fromkeys(ids, "backed_up")
    assert len(corner.held()) == corner.writes() == len(ids)
    assert wait(corner.stage.objects.open_uploads(corner.bucket)) == []


def test_workers_that_die_or_stand_still_lose_nothing_and_copy_nothing_twice(corner: Corner) -> None:
    ids = slow(corner, 40)
    with cluster_for(corner, workers=3) as cluster:
        run = under_way(corner, cluster)
        cluster.workers[0].kill()
        cluster.workers[1].send_signal(signal.SIGSTOP)
        said = ended(run)
        assert said.code == 0, said.everything
        assert corner.logged().count('"event":"worker_lost"') >= 2
        whole(corner, ids)

        cluster.workers[1].send_signal(signal.SIGCONT)
        until(lambda: cluster.workers[1].poll() is not None, "the one that stood still has ended")
        whole(corner, ids)


def test_without_its_scheduler_a_run_ends_and_resumes_in_this_process(corner: Corner) -> None:
    ids = slow(corner, 40)
    with cluster_for(corner, workers=1) as cluster:
        run = under_way(corner, cluster)
        cluster.scheduler.kill()
        said = ended(run)

        assert said.code == 5, said.everything
        assert "the Dask scheduler at dask://127.0.0.1:" in said.json["reason"]
        assert said.json["next"][0]["command"] == f"engine run backup --incremental --executor {cluster.address}"
        assert 3 < corner.recorded() < len(ids)
    corner.misbehave()
    assert corner.engine(*RESUME).code == 0
    whole(corner, ids)


def test_a_run_ends_without_its_scheduler_where_workers_have_nothing_to_do(corner: Corner) -> None:
    """They must not take over what the others had in hand: nobody would hear of it."""
    slow(corner, 4, seconds=20)
    with cluster_for(corner) as cluster:
        run = corner.start(*JSON, "--executor", cluster.address)
        until(lambda: corner.put_requests() > 0, "copies are in flight")
        cluster.scheduler.kill()
        said = ended(run)
    assert said.code == 5, said.everything


def test_a_run_that_is_stopped_or_killed_leaves_its_workers_free_for_the_next(corner: Corner) -> None:
    ids = slow(corner, 60)
    with cluster_for(corner, workers=1) as cluster:
        run = under_way(corner, cluster)
        run.send_signal(signal.SIGINT)
        said = ended(run)
        assert said.code == 130, said.everything
        had = corner.recorded()
        assert 3 < len(corner.held()) == had < len(ids), "an object without its row"

        run = corner.start(*RESUME, "--executor", cluster.address)
        until(lambda: corner.recorded() > had, "the next run gets on")
        run.kill()
        ended(run)
        corner.misbehave()
        said = corner.process(*RESUME, "--executor", cluster.address)
        assert said.code == 0, said.everything
    whole(corner, ids)


def test_a_worker_may_join_later_and_one_of_other_settings_is_left_out(corner: Corner) -> None:
    ids = slow(corner, 300)
    with cluster_for(corner, workers=1) as cluster:
        run = under_way(corner, cluster)
        cluster.worker(ENGINE_MIGRATION__PART_SIZE_MB="32")
        cluster.worker()
        why = "worker w2: migration.part_size_mb is 32 there and 16 here"
        until(lambda: why in corner.logged() and "'begin'" in cluster.said("w3"), "both have come")
        corner.misbehave()
        said = ended(run)

    assert said.code == 0, said.everything
    whole(corner, ids)


def test_a_worker_of_other_settings_or_without_rights_is_refused_at_the_start(corner: Corner) -> None:
    corner.files(3)
    corner.env["ENGINE_SOURCE__INVENTORY"] = "always"
    with cluster_for(corner, workers=0) as cluster:
        cluster.worker(threads=1, ENGINE_DESTINATION__ACCESS_KEY_ID="stranger")
        cluster.worker(ENGINE_DESTINATION__SSE="AES256")
        cluster.ready()
        differs = corner.process(*BACKUP, "--executor", cluster.address)

        cluster.workers[1].kill()
        until(lambda: "Remove worker" in cluster.said("scheduler"), "it has left")
        corner.misbehave(kind="access_denied", path=f"/{VENDOR_BUCKET}/", header="authorization: .*=stranger/")
        denied = corner.process(*BACKUP, "--executor", cluster.address)

    assert differs.code == denied.code == 4
    assert "engine: worker w2: destination.sse is 'AES256' there and None here" in differs.err
    assert "w1: fewer threads than executor.leases_in_hand (2)" in differs.err
    assert f"may not read s3://{VENDOR_BUCKET}, and the run may" in denied.err
    assert "s3:GetObject" in denied.err
    assert not corner.held()


def test_a_cluster_behind_tls_is_used_with_a_key_that_nobody_else_can_read(corner: Corner) -> None:
    ids = corner.files(10)
    files = Authority(corner.directory).files("127.0.0.1")
    options = [each for pair in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), files, strict=True) for each in pair]
    corner.env |= dict(zip(TLS, files, strict=True))
    with Cluster(corner.directory / "dask", corner.environment(), options, protocol="tls") as cluster:
        cluster.worker()
        cluster.ready()
        said = corner.process(*JSON, "--executor", cluster.address)
        assert said.code == 0, said.everything
        whole(corner, ids)

    Path(files[2]).chmod(0o640)
    said = corner.engine(*BACKUP, "--executor", cluster.address)
    refused(said, 4, "executor.tls_key_file", "can be read by others", f"chmod 600 {files[2]}")


def test_nobody_is_asked_beyond_this_machine_without_tls(corner: Corner) -> None:
    refused(
        corner.engine(*BACKUP, "--executor", "dask://10.0.0.1:8786"), 2, "--executor: executor.address is not on this"
    )
    refused(corner.engine(*BACKUP, "--executor", "tls://10.0.0.1:8786"), 2, "executor.tls_key_file is missing")


async def test_a_scheduler_that_does_not_answer_is_named() -> None:
    there = nobody().replace("http", "dask")
    with pytest.raises(Blocked, match=f"no Dask scheduler answers at {there}"):
        await connected(ExecutorSettings(kind="dask", address=there), timeout_s=0.5)


def test_without_the_extra_the_command_says_how_to_install_it(corner: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = corner.engine(*BACKUP, "--executor", "dask://127.0.0.1:8786")

    refused(said, 4, "a package that is not installed: distributed", "pip install 'engine[dask]'")


def comparable(corner: Corner) -> dict[str, dict[str, Any]]:
    """Rows without times and row numbers, whatever the bucket is called."""
    own = {"id", "backup_timestamp", "created_date", "updated_date", "verified_at"}
    return {
        name: {key: str(held).replace(corner.bucket, "ours") for key, held in row.items() if key not in own}
        for name, row in corner.rows().items()
    }
