"""The file under the tracking DB: may it be used, and is it private?

Everything here happens before SQLite opens the file. Later, opening and closing it by other means would drop SQLite's
own locks (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from pathlib import Path

from engine.model.command import Command
from engine.model.errors import Blocked

#: File systems whose locks and shared memory WAL cannot trust (sqlite.org/wal.html: "does not work over a network").
NETWORK = re.compile(
    r"^(nfs\d?|cifs|smb\d?|smbfs|ncpfs|afs|ceph|glusterfs|lustre|gpfs|beegfs|davfs|"
    r"fuse\.(sshfs|s3fs|rclone|goofys|glusterfs|mount-s3|mountpoint-s3|gcsfuse|davfs\d?|ceph|juicefs))$"
)

SIDE_FILES = ("-wal", "-shm", "-journal")


def prepare(path: Path) -> None:
    """Make the file if need be, private to us. Raises Blocked, with what to do instead."""
    try:
        _refuse_network(path)
        _create(path)
        for file in _family(path):
            _refuse_foreign(file)
        _refuse_locked(_family(path))
    except OSError as error:
        raise unusable(path, error) from error


def make_private(path: Path) -> None:
    """Take group's and others' rights off the file and its companions; never give a right. Raises Blocked."""
    try:
        for file in _family(path):
            if file.exists() and (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
                file.chmod(mode & 0o700)
    except OSError as error:
        raise unusable(path, error) from error


def inspect(path: Path) -> None:
    """For readers: the file must be there, and a plain one of its own. Raises Blocked; changes nothing."""
    try:
        if not path.exists():
            raise Blocked(
                f"there is no tracking database at {path}",
                hint=(
                    "run a backup first, or set tracking.database to where it lies.\n  ",
                    Command("run backup --full"),
                    "   makes it; so does --incremental with --new-database\n  ",
                    Command("db rebuild --from-bucket"),
                    "   brings back what it knew of links, if it was lost after a switch",
                ),
            )
        _refuse_network(path)
        _refuse_links(path, path.lstat())
    except OSError as error:
        raise unusable(path, error) from error


def unwritable(path: Path, error: OSError) -> Blocked:
    """What to tell a person whose file, named on the command line, cannot be written."""
    return Blocked(
        f"{path} cannot be written: {error.strerror or type(error).__name__}",
        hint="name a file in a directory that exists, has room, and may be written by this user",
    )


def unusable(path: Path, error: OSError) -> Blocked:
    """What to tell a person about an OSError on a path of ours."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Blocked(f"{path} cannot be written: the disk is full", hint="free some space and start again")
    if error.errno == errno.ENOENT:
        return Blocked(
            f"there is no folder {path.parent}", hint=f"make it, or let the settings name another place for {path.name}"
        )
    return Blocked(
        f"{path} cannot be used: {error.strerror or type(error).__name__}",
        hint="check owner and permissions of the file and its directory, or set tracking.database to another path",
    )


def file_system(path: Path, mountinfo: str) -> str:
    """The type of file system a path lies on, given the text of ``/proc/self/mountinfo`` (man 5 proc)."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        mount = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4]).rstrip("/")
        # of two mounts on one point the later line lies on top
        if f"{path}/".startswith(f"{mount}/") and len(mount) >= best:
            best, kind = len(mount), right.split(" ")[0]
    return kind


def _refuse_network(path: Path) -> None:
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:  # not Linux
        return
    kind = file_system(path.parent.resolve(), mounts)
    if NETWORK.match(kind):
        raise Blocked(
            f"{path} lies on a network file system ({kind}), where SQLite's locks cannot be trusted",
            hint="set tracking.database to a path on a local disk",
        )


def _family(path: Path) -> list[Path]:
    return [path, *(Path(f"{path}{suffix}") for suffix in SIDE_FILES)]


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return


def _refuse_foreign(path: Path) -> None:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    _refuse_links(path, facts)
    if facts.st_uid != os.geteuid():
        raise Blocked(
            f"{path} belongs to another user (uid {facts.st_uid}; we are {os.geteuid()})",
            hint="run as that user, or set tracking.database to another path",
        )


def _refuse_locked(files: list[Path]) -> None:
    """A file that its owner may not write to is so by somebody's decision, which also binds a root who could."""
    locked = [str(file) for file in files if file.exists() and not file.stat().st_mode & stat.S_IWUSR]
    if locked:
        raise Blocked(
            f"read-only, and left so: {', '.join(locked)}",
            hint=f"if runs may write again: chmod u+w {shlex.join(locked)}",
        )


def _refuse_links(path: Path, facts: os.stat_result) -> None:
    if stat.S_ISLNK(facts.st_mode):
        raise Blocked(f"{path} is a symbolic link", hint="set tracking.database to the file itself")
    if not stat.S_ISREG(facts.st_mode):
        raise Blocked(f"{path} is not a regular file", hint="set tracking.database to another path")
    if facts.st_nlink > 1:
        raise Blocked(
            f"{path} has {facts.st_nlink} hard links; opened under two names, a database gets damaged",
            hint="remove the other names, or make a snapshot and use that",
        )
