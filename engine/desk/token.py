"""The token of the dashboard, from a file."""

from __future__ import annotations

import stat
from pathlib import Path

from engine.model.errors import Usage

LEAST = 16


def read_token(file: Path) -> str:
    """Raises Usage where the file cannot be read, others may read it, or its token is short."""
    try:
        mode, token = file.stat().st_mode, file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"--token-file {file} cannot be read: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise Usage(f"others may read {file}", hint=f"chmod 600 {file}")
    if len(token) < LEAST:
        raise Usage(f"the token in {file} is shorter than {LEAST} letters", hint="openssl rand -hex 24 makes one.")
    return token
