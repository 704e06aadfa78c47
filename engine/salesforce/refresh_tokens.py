"""The newest refresh token, kept for the next command.

Apps may rotate their tokens: each use returns a new one, and using an old one revokes them all. So a new token is on
the disk before its session is used, and commands that share a token log in one after the other.

It is kept in ``salesforce.refresh_token_file`` if that may be written, else beside the tracking DB, together with a
digest of the token in the settings: if somebody has put a newer token there since, that one counts.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from engine.limiting.clock import Clock
from engine.limiting.private_files import write_private
from engine.model.errors import Blocked, Transient
from engine.model.failures import FailureClass

_log = structlog.get_logger(__name__)

_POLL_S = 0.1
_LONGEST_WAIT_S = 60.0
"""For another command that is logging in with the same token."""


class RefreshTokens:
    """``given``: the token of the settings; ``file``: the file it came from, if any; ``database``: the tracking DB."""

    def __init__(self, given: str, file: Path | None, database: Path | None) -> None:
        self._given = given
        self._file = None if file is None else Path(os.path.realpath(file))
        self._beside = None if database is None else Path(f"{database}.refresh_token")
        self._not_stored = ""

    @property
    def place(self) -> Path | None:
        """Where a new token is kept; None where no place may be written."""
        places = (self._file, self._beside)
        return next((path for path in places if path and os.access(path.parent, os.W_OK | os.X_OK)), None)

    @asynccontextmanager
    async def turn(self, clock: Clock) -> AsyncIterator[None]:
        """Keep other commands from using the token meanwhile. Raises Blocked, and Transient after a long wait."""
        place = self.place
        if place is None:
            yield
            return
        try:
            handle = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Blocked(f"{place}.lock cannot be used: {error.strerror}", hint="Check what is there.") from None
        try:
            waited = 0.0
            while not _locked(handle):
                if waited > _LONGEST_WAIT_S:
                    raise Transient(
                        FailureClass.NETWORK,
                        "another command is still logging in to Salesforce with the same refresh token",
                    )
                await clock.sleep(_POLL_S)
                waited += _POLL_S
            yield
        finally:
            os.close(handle)

    def newest(self) -> str:
        """The token to log in with."""
        if self._not_stored:
            return self._not_stored
        given, kept = self._in_settings(), {}
        if self._beside is not None:
            with suppress(OSError, ValueError):
                kept = json.loads(self._beside.read_bytes())
        return str(kept["token"]) if isinstance(kept, dict) and kept.get("given") == _digest(given) else given

    async def keep(self, token: str) -> None:
        """Store a new token. If that fails, this command goes on with it, and warns."""
        try:
            await asyncio.to_thread(self._write, token)
        except OSError as error:
            self._not_stored = token
            _log.warning(
                "the app has rotated the refresh token, and the new one could not be stored: the next command cannot "
                "log in until the app is authorised again",
                why=error.strerror,
            )

    def _write(self, token: str) -> None:
        place = self.place
        if place is None:
            raise PermissionError(0, "neither salesforce.refresh_token_file nor the tracking DB's folder is writable")
        given = {"given": _digest(self._in_settings()), "token": token}
        text = token if place == self._file else json.dumps(given)
        write_private(place, f"{text}\n".encode(), replace=True)

    def _in_settings(self) -> str:
        """The token of the settings now: the file may have been written since they were read."""
        if self._file is not None:
            with suppress(OSError, ValueError):
                return self._file.read_text("utf-8").strip() or self._given
        return self._given


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
