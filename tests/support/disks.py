"""Small and read-only disks: real mounts where we may make them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """An empty tmpfs of that size. Raises OSError where mounting is not allowed."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise OSError("mounting is not allowed here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a small disk: ``ro``, ``rw``, ``size=30m``."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def may_mount() -> bool:
    """Whether this user may mount a tmpfs."""
    if os.geteuid() != 0:
        return False
    try:
        with small_disk(1):
            return True
    except OSError:
        return False
