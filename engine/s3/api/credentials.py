"""Credentials: aiobotocore finds and refreshes them; the hot path takes the current ones without waiting."""

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
"""How long keys are used before the provider is asked again. It refreshes expiring ones 10 to 15 minutes early."""

_NO_CONFIGURATION = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""What botocore takes for this machine's AWS configuration where the settings hold keys: none, so it cannot fail."""


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
        self._fresh_at = math.inf if keys else 0.0
        self._provider: Any = None
        self._refreshing: asyncio.Task[Keys] | None = None
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
        """``expire``; None where the keys are in the settings, so that no others will come."""
        return self.expire if self._fixed is None else None

    async def found(self) -> bool:
        """Whether there are any credentials at all. Raises Blocked where they are there but unusable."""
        return self._fixed is not None or await self._resolve() is not None

    @property
    def current(self) -> Keys | None:
        """The keys at hand, if there are any yet. Now and then they are refreshed in the background."""
        if self._keys is not None and self._refreshing is None and self._clock.monotonic() - self._fresh_at > FRESH_S:
            self._start_refresh()
        return None if self._stale else self._keys

    async def keys(self) -> Keys:
        """The current keys. Waits only where there are none, or the store no longer accepts them. Raises Blocked where
        there never were any."""
        if (keys := self.current) is not None:
            return keys
        try:
            return await asyncio.shield(self._refreshing or self._start_refresh())
        except Blocked:
            if self._keys is None:
                raise
            return self._keys  # the store will answer what is wrong with them

    def expire(self) -> None:
        """The store no longer accepts the keys: the next caller reads them anew, from files too."""
        self._stale = True
        self._provider = None

    async def close(self) -> None:
        """Cancel a refresh that is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    def _start_refresh(self) -> asyncio.Task[Keys]:
        self._refreshing = asyncio.create_task(self._refresh(), name=f"{self._side} credentials")
        self._refreshing.add_done_callback(self._refreshed)
        return self._refreshing

    def _refreshed(self, task: asyncio.Task[Keys]) -> None:
        self._refreshing, self._stale = None, False
        self._fresh_at = self._clock.monotonic()
        if not task.cancelled() and task.exception() is None:
            self._keys = task.result()  # a refresh that failed is tried again later; the old keys may still work

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
        """A new session, which has read no file yet. It is made when it is needed, because the import takes long."""
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession

        session = AioSession(profile=self._profile) if self._fixed is None else AioSession(_NO_CONFIGURATION)
        session.set_default_client_config(AioConfig(**sdk_config(self._out)))
        return session

    def _unusable(self, error: BaseException) -> Blocked:
        return Blocked(
            f"the AWS credentials of the {self._side} cannot be had ({type(error).__name__})",
            hint=f"check {self._side}.profile and the AWS configuration it names; log in again where it needs that"
            + ("; check network.proxy, where they come over the network" if self._out.proxy else ""),
        )
