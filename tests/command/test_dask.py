"""Copies made on a Dask cluster: a real scheduler and real workers, each a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.corner import Corner
from tests.support.servers.dask import Cluster

pytest.importorskip("distributed")

BACKUP = ("run", "backup", "--full", "--no-progress", "--json")


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
    assert corner.process(*BACKUP).code == 0
    here = comparable(corner)
    corner.start_over(tmp_path / "again")

    with cluster_for(corner) as cluster:
        said = corner.process(*BACKUP, "--executor", cluster.address)

    assert said.code == 0, said.everything
    assert said.json["records"]["backed_up"] == 60
    assert "2 workers, 8 threads; its dashboard is http://127.0.0.1:" in said.err
    assert comparable(corner) == here
    assert len(corner.held()) == corner.writes() == 60


def comparable(corner: Corner) -> dict[str, dict[str, Any]]:
    """Rows without times and row numbers, whatever the bucket is called."""
    own = {"id", "backup_timestamp", "created_date", "updated_date", "verified_at"}
    return {
        name: {key: str(held).replace(corner.bucket, "ours") for key, held in row.items() if key not in own}
        for name, row in corner.rows().items()
    }
