"""One login for all requests: made when first needed, and renewed once, however many requests got a 401."""

from __future__ import annotations

import asyncio

from engine.model.errors import Blocked, Fatal
from engine.salesforce.auth import Login, Session
from engine.salesforce.faults import Moved, SessionExpired

_RENEWALS = 2
"""Renewals that one request may cause; after them its 401 must be about something else."""
_IN_VAIN = 2
"""Logins in a row that no request was accepted after: a session may end again before it was used, but not for ever."""


class SharedLogin:
    """A request whose session is no longer the current one is simply sent again; a 401 of the current one renews it.

    A login that the org has never accepted a request of is not renewed: that would go on for ever, and lock the user
    out. Where it has accepted one before, sessions may end once more before the new one is used.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self.current: Session | None = None
        self._good = False
        """Whether the org has ever accepted a session of this login."""
        self._in_vain = 0
        """Logins since it last did."""
        self._renewing = asyncio.Lock()
        self._dead: Fatal | None = None

    async def session(self) -> Session:
        """The current one, after a login if there is none yet."""
        while self.current is None:
            await self._renew(None)
        return self.current

    def accepted(self, session: Session) -> None:
        """The org has answered a request of this session well."""
        if session is self.current:
            self._good, self._in_vain = True, 0

    async def refused(self, session: Session, error: SessionExpired | Moved, renewals: int) -> bool:
        """Prepare another try of a request; returns whether that took a renewal. Raises after too many ``renewals``."""
        if session is not self.current:
            return False
        again = self._good and isinstance(error, SessionExpired)
        if renewals == _RENEWALS or self._in_vain >= (_IN_VAIN if again else 1):
            if isinstance(error, Moved):
                raise error from None
            self._dead = Blocked(
                f"Salesforce refuses the token it was just given: {error}",
                hint="Check that the instance URL is the org's own …my.salesforce.com, that the user may use the API, "
                "and that sessions are not locked to one address where this network has several.",
            )
            raise self._dead from None
        await self._renew(session)
        return True

    async def _renew(self, spent: Session | None) -> None:
        """Log in again, unless another request just has. A login that failed for good is not tried again."""
        async with self._renewing:
            if self._dead is not None:
                raise self._dead
            if self.current is not spent:
                return
            try:
                self.current = await self._login()
                self._in_vain += 1
            except Fatal as error:
                self._dead = error
                raise
