"""The box: a folder on a RAM disk. A crash keeps what is in it at that moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

Image = dict[str, tuple[int, bytes]]
"""Mode and content of every file, by name."""

_NOT_KEPT = "-shm"
"""Shared memory: SQLite makes it anew from the WAL."""


def image(box: Path) -> Image:
    """What a machine that goes down now would find again."""
    kept: Image = {}
    with os.scandir(box) as found:
        for each in found:
            if each.is_file(follow_symlinks=False) and not each.name.endswith(_NOT_KEPT):
                kept[each.name] = (each.stat().st_mode & 0o777, Path(each.path).read_bytes())
    return kept


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


def shelf() -> Path:
    """Where boxes stand: in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else Path("/tmp")
