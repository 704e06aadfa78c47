"""A link as a user opens it: a plain GET, no credentials, no redirects. Only what the answer begins with is read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from engine.limiting.clock import Clock
from engine.limiting.retry import retry
from engine.model.errors import Refused, Transient
from engine.model.failures import FailureClass
from engine.web.client import WebClient
from engine.web.faults import NETWORK_ERRORS

_SECONDS = 20.0
_TRIES = 3
_READ = 4096
_NOBODYS = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Opened:
    """What a GET of a link came to. ``status`` 0: there was no answer, ``why`` says why."""

    status: int = 0
    why: str = ""
    failure: FailureClass | None = None
    archived: bool = False

    @property
    def opens(self) -> bool:
        return self.status == 200

    @property
    def dead(self) -> bool:
        """Whether nobody can open it. What is only closed to strangers (401, 403), or redirects, may open for users."""
        if self.status:
            return self.archived or self.status in _NOBODYS or self.status >= 500
        return self.failure not in {FailureClass.REDIRECTED, FailureClass.HOST_NOT_ALLOWED}

    def __str__(self) -> str:
        if self.archived:
            return f"{self.status}: the object is archived"
        return str(self.status) if self.status else self.why


async def seen_by_user(client: WebClient, url: str, clock: Clock) -> Opened:
    """Raises nothing. No connection, and a busy server, are given another chance."""

    async def once() -> Opened:
        async with asyncio.timeout(_SECONDS), client.request("GET", url, hops=0) as answer:
            if answer.status == 429 or answer.status >= 500:
                raise Transient(FailureClass.NETWORK, str(answer.status))
            begin = b"" if answer.status == 200 else await answer.content.read(_READ)
            return Opened(answer.status, archived=b"InvalidObjectState" in begin)

    try:
        return await retry(once, clock=clock, attempts=_TRIES)
    except TimeoutError:
        return Opened(why=f"no answer within {_SECONDS:.0f} s", failure=FailureClass.NETWORK)
    except Transient as error:
        told = str(error)
        return Opened(int(told)) if told.isdecimal() else Opened(why=told, failure=error.failure)
    except Refused as error:
        return Opened(why=str(error), failure=error.failure)
    except NETWORK_ERRORS as error:
        return Opened(why=f"the answer broke off ({type(error).__name__})", failure=FailureClass.NETWORK)
