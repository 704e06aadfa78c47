"""Which files may serve as the tracking DB."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from engine.model.command import in_words
from engine.model.errors import Blocked
from engine.tracking.db.files import NETWORK, file_system, inspect, make_private, prepare

MOUNTS = "\n".join(
    [
        "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
        "23 22 0:5 / /mnt/share rw - nfs4 host:/x rw",
        "24 22 0:6 / /mnt/two\\040words rw shared:1 - cifs //host/x rw",
        "25 23 0:7 / /mnt/share/local rw - xfs /dev/vdb rw",
        "26 22 0:8 / /over rw - nfs host:/y rw",
        "27 26 0:9 / /over rw - tmpfs tmpfs rw",
    ]
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/deep/er", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/two words/x", "cifs"),
        ("/mnt/share/local", "xfs"),
        ("/over", "tmpfs"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_topmost_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.s3fs", "ceph", "glusterfs"])
def test_network_file_systems_are_known_by_name(kind: str) -> None:
    assert NETWORK.match(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs", ""])
def test_local_file_systems_are_welcome(kind: str) -> None:
    assert not NETWORK.match(kind)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        prepare(tmp_path / "t.db")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "t.db").stat().st_mode) == 0o600


def test_a_folder_that_does_not_exist_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(Blocked, match=r"there is no folder .*/typo"):
        prepare(tmp_path / "typo" / "t.db")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t.db", "t.db-wal", "t.db-shm", "t.db-journal"])
def test_a_symbolic_link_is_refused_and_its_target_left_alone(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / name).symlink_to(victim)

    with pytest.raises(Blocked, match="symbolic link"):
        prepare(tmp_path / "t.db")
    assert victim.read_bytes() == b"precious"


def test_a_file_with_two_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    os.link(tmp_path / "a.db", tmp_path / "b.db")

    with pytest.raises(Blocked, match="hard links"):
        prepare(tmp_path / "a.db")


def test_a_directory_or_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Blocked, match="not a regular file"):
            prepare(path)


@pytest.mark.parametrize("name", ["t.db", "t.db-wal"])
def test_a_file_that_was_made_read_only_is_refused_and_stays_so(tmp_path: Path, name: str) -> None:
    for each in ("t.db", "t.db-wal"):
        (tmp_path / each).touch(0o600)
    (tmp_path / name).chmod(0o400)

    with pytest.raises(Blocked, match="read-only") as caught:
        prepare(tmp_path / "t.db")
    assert f"chmod u+w {tmp_path / name}" in caught.value.hint
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o400


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o660, 0o600), (0o444, 0o400), (0o600, 0o600)])
def test_rights_are_taken_from_others_and_given_to_nobody(tmp_path: Path, before: int, after: int) -> None:
    path = tmp_path / "t.db"
    path.touch()
    path.chmod(before)

    make_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == after


def test_a_path_below_a_file_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Blocked) as caught:
        prepare(tmp_path / "file" / "t.db")
    assert "tracking.database" in caught.value.hint


def test_a_reader_of_a_missing_file_is_told_how_to_begin_one_and_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="no tracking database") as caught:
        inspect(tmp_path / "t.db")

    assert "engine run backup --full" in in_words(caught.value.hint)
    assert list(tmp_path.iterdir()) == []
