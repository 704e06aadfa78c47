"""The newest refresh token, kept for the next command.

Apps may rotate their tokens: each use answers a new one, and whoever comes with an old one ends them all. So a new one
is on the disk before its session is used, and commands that share a token take turns.

It is kept in ``salesforce.refresh_token_file`` where that may be written, else beside the tracking DB, together with a
digest of the token that the settings give: a token that somebody has authorised since is another, and counts.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from engine.limiting.clock import Clock
from engine.model.errors import Blocked, Transient
from engine.model.failures import FailureClass
from engine.settings import SalesforceSettings

_log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 0.1
_LONGEST_WAIT_S = 60.0
"""For another command that is logging in."""


class RefreshTokens:
    """``database``: the tracking DB; None: nothing is kept beside it."""

    def __init__(self, given: str, settings: SalesforceSettings, database: Path | None) -> None:
        file = settings.refresh_token_file
        self._given = given
        self._file = None if file is None else Path(os.path.realpath(file))
        self._beside = None if database is None else Path(f"{database}.refresh_token")
        self._unkept = ""

    @property
    def place(self) -> Path | None:
        """Where a new token is kept; None: nowhere that may be written."""
        places = (self._file, self._beside)
        return next((path for path in places if path and os.access(path.parent, os.W_OK | os.X_OK)), None)

    @asynccontextmanager
    async def turn(self, clock: Clock) -> AsyncIterator[None]:
        """Alone with the token. Raises Transient where another command keeps it for too long, Blocked."""
        place = self.place
        if place is None:
            yield
            return
        try:
            handle = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Blocked(f"{place}.lock cannot be used: {error.strerror}", hint="Look at what lies there.") from None
        try:
            waited = 0.0
            while not _locked(handle):
                if waited > _LONGEST_WAIT_S:
                    raise Transient(FailureClass.NETWORK, "another command has been logging in to Salesforce for long")
                await clock.sleep(_LOOK_AGAIN_S)
                waited += _LOOK_AGAIN_S
            yield
        finally:
            os.close(handle)

    def newest(self) -> str:
        """The token to come with."""
        if self._unkept:
            return self._unkept
        given, kept = self._at_first(), {}
        if self._beside is not None:
            with suppress(OSError, ValueError):
                kept = json.loads(self._beside.read_bytes())
        return str(kept["token"]) if isinstance(kept, dict) and kept.get("given") == _digest(given) else given

    async def keep(self, token: str) -> None:
        """Put a new token down for good. Where that is not possible, this command goes on with it, and says so."""
        try:
            await asyncio.to_thread(self._write, token)
        except OSError as error:
            self._unkept = token
            _log.warning(
                "the app has rotated the refresh token, and the new one could not be stored: the next command cannot "
                "log in until the app is authorised again",
                why=error.strerror,
            )

    def _write(self, token: str) -> None:
        place = self.place
        if place is None:
            raise PermissionError(0, "neither salesforce.refresh_token_file nor the tracking DB's folder is writable")
        given = {"given": _digest(self._at_first()), "token": token}
        _replace(place, token if place == self._file else json.dumps(given))

    def _at_first(self) -> str:
        """What the settings say now: the file may have been written since they were read."""
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


def _replace(path: Path, text: str) -> None:
    """The whole file or none of it, mode 0600, of the owner that it had."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            with suppress(OSError):  # as root: the command's own user reads it again
                owner = path.stat()
                os.fchown(handle, owner.st_uid, owner.st_gid)
            file.write(f"{text}\n")
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
