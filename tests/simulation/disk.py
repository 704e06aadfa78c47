"""The box: a folder on a RAM disk. What was written is told apart from what is durable.

A process that is killed leaves all that it wrote. A machine that goes down keeps what was synced, and of the rest any
part: each write, rename, link and removal by itself, or a piece of a write. The tracking DB is SQLite's own: its
commits are durable, since a writer syncs each of them (``PRAGMA synchronous``; see ``connection.py``).
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.limiting.private_files import File, Files

Image = dict[str, tuple[int, bytes]]
"""Mode and content of every file, by name."""

SECTOR = 512
"""What a disk writes as a whole or not at all."""
_NOT_KEPT = "-shm"
"""Shared memory: SQLite makes it anew from the WAL."""
_WRITTEN, _IN_PART = 0.45, 0.6
"""Of the writes that were not synced, so many are on the disk after a crash; up to there, in part."""


def image(box: Path) -> Image:
    """What a process that is killed now leaves."""
    kept: Image = {}
    with os.scandir(box) as found:
        for each in found:
            if each.is_file(follow_symlinks=False) and not each.name.endswith(_NOT_KEPT):
                kept[each.name] = (each.stat().st_mode & 0o777, Path(each.path).read_bytes())
    return kept


def without_salt(wal: bytes) -> list[bytes]:
    """What a WAL of SQLite's says (sqlite.org/fileformat.html, 4), without what SQLite takes from chance."""
    frame = 24 + int.from_bytes(wal[8:12], "big")
    return [wal[at : at + 8] + wal[at + 24 : at + frame] for at in range(32, len(wal), frame)]


def restore(box: Path, kept: Image) -> None:
    """Make the box anew."""
    shutil.rmtree(box, ignore_errors=True)
    box.mkdir(mode=0o700, parents=True)
    for name, (mode, content) in kept.items():
        handle = os.open(box / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            os.write(handle, content)
        finally:
            os.close(handle)


def memory_folder() -> Path:
    """Where boxes stand: in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else Path("/tmp")


@dataclass(slots=True)
class Inode:
    """A file, whatever its names are. ``pending``: what was written since it was synced, (where, what), or a size."""

    mode: int
    durable: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)

    def sync(self, chance: random.Random | None = None) -> None:
        """All of what is pending is durable, or, by chance, any part of it; nothing is pending any more."""
        self.durable, self.pending = self._made(chance), []

    def after_crash(self, chance: random.Random) -> bytes:
        return self._made(chance) if self.pending else self.durable

    def _made(self, chance: random.Random | None) -> bytes:
        content = bytearray(self.durable)
        for each in self.pending:
            luck = chance.random() if chance else 0.0
            if isinstance(each, int):
                if luck < _WRITTEN:
                    _resize(content, each)
                continue
            at, block = each
            if luck < _IN_PART:
                _lay(content, at, block if luck < _WRITTEN else _torn(block, at, luck))
        return bytes(content)


def _torn(block: bytes, at: int, luck: float) -> bytes:
    """Its first part, up to the end of a sector."""
    end = at + int(len(block) * (luck - _WRITTEN) / (_IN_PART - _WRITTEN))
    return block[: max(0, end // SECTOR * SECTOR - at)]


def _lay(content: bytearray, at: int, block: bytes) -> None:
    if len(content) < at:
        _resize(content, at)
    content[at : at + len(block)] = block


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


class SimFile(File):
    """One open file."""

    def __init__(self, handle: int, disk: SimDisk, name: str, inode: Inode) -> None:
        super().__init__(handle)
        self._disk = disk
        self._name = name
        self._inode = inode

    def write(self, block: bytes | bytearray, at: int) -> None:
        room = self._disk.step(f"write {self._name}", len(block))
        self._inode.pending.append((at, bytes(block[:room])))
        super().write(block[:room], at)
        if room < len(block):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def truncate(self, size: int) -> None:
        self._disk.step(f"truncate {self._name}")
        self._inode.pending.append(size)
        super().truncate(size)

    def sync(self) -> None:
        try:
            self._disk.step(f"sync {self._name}")
        except OSError:
            self._inode.sync(self._disk.chance)  # what did not get there now never will by syncing again
            raise
        self._inode.sync()


class SimDisk(Files):
    """The disk of a box, as its processes use it one after the other. ``at_work`` is the one that does so now: told of
    every operation before it is done, with the number of bytes to be written, it says how many fit; it raises OSError
    where the disk fails, and Killed."""

    def __init__(self) -> None:
        self.at_work: Callable[[str, int], int] = lambda _what, size: size
        self.chance = random.Random("disk")
        self._now: dict[str, Inode] = {}
        self._durable: dict[str, Inode] = {}
        self._pending: list[dict[str, Inode | None]] = []
        """Changes of names since the folder was synced; None: the name is gone."""

    def forget(self) -> None:
        """All that is there now is durable."""
        self._now, self._durable, self._pending = {}, {}, []

    def step(self, what: str, size: int = 1) -> int:
        return self.at_work(what, size)

    def create(self, path: Path, mode: int = 0o600) -> File:
        self.step(f"create {path.name}")
        return self._made(path, super().create(path, mode).handle, mode)

    def lock_file(self, path: Path) -> File:
        self.step(f"open {path.name}")
        inode = self._inode(path) if path.exists() else None
        handle = super().lock_file(path).handle
        return SimFile(handle, self, path.name, inode) if inode else self._made(path, handle, 0o600)

    def rename(self, path: Path, to: Path) -> None:
        self.step(f"rename {path.name}")
        self._name({to.name: self._inode(path), path.name: None})
        super().rename(path, to)

    def link(self, path: Path, to: Path) -> None:
        self.step(f"link {path.name}")
        super().link(path, to)
        self._name({to.name: self._inode(path)})

    def remove(self, path: Path) -> None:
        if path.exists():
            self.step(f"remove {path.name}")
            self._inode(path)
            self._name({path.name: None})
            super().remove(path)

    def sync_folder(self, folder: Path) -> None:
        self.step("sync the folder")
        self._durable, self._pending = dict(self._now), []

    def after_crash(self, kept: Image) -> Image:
        """What a machine that goes down now leaves of ``kept``, which a kill would leave."""
        names = dict(self._durable)
        for change in self._pending:
            if self.chance.random() < _WRITTEN:
                for name, inode in change.items():
                    if inode is None:
                        names.pop(name, None)
                    else:
                        names[name] = inode
        ours = self._durable.keys() | {name for change in self._pending for name in change}
        left = {name: each for name, each in kept.items() if name not in ours}
        contents = {id(inode): inode.after_crash(self.chance) for inode in names.values()}
        return left | {name: (inode.mode, contents[id(inode)]) for name, inode in sorted(names.items())}

    def _made(self, path: Path, handle: int, mode: int) -> SimFile:
        inode = Inode(mode)
        self._name({path.name: inode})
        return SimFile(handle, self, path.name, inode)

    def _inode(self, path: Path) -> Inode:
        """What was there before this box was begun is durable."""
        found = self._now.get(path.name)
        if found is None:
            found = Inode(path.stat().st_mode & 0o777, path.read_bytes())
            self._now[path.name] = self._durable[path.name] = found
        return found

    def _name(self, change: dict[str, Inode | None]) -> None:
        self._pending.append(change)
        for name, inode in change.items():
            if inode is None:
                self._now.pop(name, None)
            else:
                self._now[name] = inode
