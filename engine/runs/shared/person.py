"""The person at the keyboard, as the system names them."""

from __future__ import annotations

import getpass
import os


def who() -> str:
    """The one behind sudo, if there is one."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
