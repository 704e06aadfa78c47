"""Credentials: aiobotocore finds and refreshes them; the hot path asks for the current ones without waiting."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.limiting.clock import Clock
from engine.model.errors import Blocked
from engine.s3.api.way_out import WayOut, sdk_config

FRESH_S = 30.0
"""How long keys are used before the provider is asked again; it refreshes expiring ones 10 to 15 minutes early."""

_UNASKED = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""The AWS configuration around us, as botocore is told of it: with keys of our own it has no say, and cannot fail."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a request."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Keyring:
    """The current keys of one side. ``side`` (``source`` or ``destination``) names its settings in messages.

    ``keys`` stand in the settings; without them the AWS ``profile``, or the AWS default chain, is asked for some.
    """

    def __init__(
        self,
        clock: Clock,
        side: str,
        *,
        keys: Keys | None = None,
        profile: str | None = None,
        out: WayOut | None = None,
    ) -> None:
        self._clock = clock
        self._side = side
        self._fixed = self._keys = keys
        self._profile = profile
        self._out = out or WayOut()
        self._asked = math.inf if keys else 0.0
        self._provider: Any = None
        self._asking: asyncio.Task[Keys] | None = None
        self._stale = False

    def signing(self) -> Any:
        """An aiobotocore session whose clients sign with the current keys, so that both transports renew them alike."""
        from aiobotocore.credentials import AioCredentials
        from botocore.credentials import ReadOnlyCredentials

        ring = self

        class Current(AioCredentials):  # type: ignore[misc]  # aiobotocore ships no types
            async def get_frozen_credentials(self) -> ReadOnlyCredentials:
                keys = await ring.keys()
                return ReadOnlyCredentials(keys.access, keys.secret, keys.token)

        class Provider:
            async def load_credentials(self) -> Current:
                return Current("", "")

        session = self._session()
        session.register_component("credential_provider", Provider())
        return session

    @property
    def renew(self) -> Callable[[], None] | None:
        """``expire``; None where the keys stand in the settings, and no others will come."""
        return self.expire if self._fixed is None else None

    async def found(self) -> bool:
        """Whether there are any credentials at all. Raises Blocked where they are there but unusable."""
        return self._fixed is not None or await self._resolve() is not None

    @property
    def current(self) -> Keys | None:
        """The keys at hand, if there are any yet; now and then they are asked for anew behind the caller's back."""
        if self._keys is not None and self._clock.monotonic() - self._asked > FRESH_S and self._asking is None:
            self._ask()
        return None if self._stale else self._keys

    async def keys(self) -> Keys:
        """The current keys; waits only when there are none, or none that are taken. Raises Blocked where there never
        were any."""
        if (keys := self.current) is not None:
            return keys
        try:
            return await asyncio.shield(self._asking or self._ask())
        except Blocked:
            if self._keys is None:
                raise
            return self._keys  # the store will say what it thinks of them

    def expire(self) -> None:
        """The store does not take the keys any more: the next caller resolves them afresh, files and all."""
        self._stale = True
        self._provider = None

    async def close(self) -> None:
        """End a refresh that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _ask(self) -> asyncio.Task[Keys]:
        self._asking = asyncio.create_task(self._refresh(), name=f"{self._side} credentials")
        self._asking.add_done_callback(self._asked_for)
        return self._asking

    def _asked_for(self, task: asyncio.Task[Keys]) -> None:
        self._asking, self._stale = None, False
        self._asked = self._clock.monotonic()
        if not task.cancelled() and task.exception() is None:
            self._keys = task.result()  # a refresh that failed is tried again later; the old keys may still do

    async def _refresh(self) -> Keys:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        provider = await self._resolve()
        if provider is None:
            raise Blocked(
                f"no AWS credentials for the {self._side}",
                hint=f"set {self._side}.profile, or ENGINE_{self._side.upper()}__ACCESS_KEY_ID and its secret, "
                "or run where the AWS default chain finds some",
            )
        try:
            frozen = await provider.get_frozen_credentials()
        except (BotoCoreError, ClientError, ResponseParserError, OSError) as error:
            raise self._unusable(error) from None
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    async def _resolve(self) -> Any:
        from botocore.exceptions import BotoCoreError

        if self._provider is None:
            try:
                self._provider = await self._session().get_credentials()
            except (BotoCoreError, OSError) as error:
                raise self._unusable(error) from None
        return self._provider

    def _session(self) -> Any:
        """A new session, which has read no file yet. It takes long to import, and is made when it is needed."""
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession

        session = AioSession(profile=self._profile) if self._fixed is None else AioSession(_UNASKED)
        session.set_default_client_config(AioConfig(**sdk_config(self._out)))
        return session

    def _unusable(self, error: BaseException) -> Blocked:
        return Blocked(
            f"the AWS credentials of the {self._side} cannot be had ({type(error).__name__})",
            hint=f"check {self._side}.profile and the AWS configuration it names; log in again where it needs that"
            + ("; check network.proxy, where they come over the network" if self._out.proxy else ""),
        )
