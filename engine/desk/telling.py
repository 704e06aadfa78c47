"""Telling people: a signed POST to a webhook, and a program that gets the same JSON. Neither changes how a run ends."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.limiting.clock import Clock, iso
from engine.limiting.retry import retry
from engine.model.errors import EngineError, Transient
from engine.model.failures import FailureClass
from engine.model.hosts import origin_of
from engine.settings import NetworkSettings, NotifySettings
from engine.web.client import open_web

SIGNATURE = "X-Engine-Signature"
TRIES = 3
_ANSWER_S = 20.0
_COMMAND_S = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """One message. ``event``: ended, refused, new_failure_class, in_doubt."""

    event: str
    text: str
    facts: Mapping[str, Any]


class Teller:
    """Sends messages one after the other. What does not go through is said, and nothing else happens."""

    def __init__(
        self, wanted: NotifySettings, network: NetworkSettings, clock: Clock, say: Callable[[str], None]
    ) -> None:
        self._wanted = wanted
        self._network = network
        self._clock = clock
        self._say = say

    async def tell(self, told: Told) -> None:
        """Raises nothing."""
        document = {
            "event": told.event,
            "text": told.text,
            "at": iso(self._clock.now()),
            "host": platform.node(),
            **told.facts,
        }
        body = json.dumps(document).encode()
        if self._wanted.url is not None:
            await self._post(body)
        if self._wanted.command:
            await self._run(body)

    async def _post(self, body: bytes) -> None:
        assert self._wanted.url is not None
        url = self._wanted.url.get_secret_value()
        place = urlsplit(url)
        headers = {"Content-Type": "application/json"}
        if self._wanted.secret is not None:
            headers[SIGNATURE] = signature(self._wanted.secret.get_secret_value(), body)
        try:
            origin = origin_of(place.scheme, place.netloc)
            async with open_web([origin], self._network, private_hosts=[origin.host], connections=1) as client:

                async def once() -> None:
                    async with client.request("POST", url, headers, hops=0, body=body) as answer:
                        if answer.status >= 500 or answer.status == 429:
                            raise Transient(FailureClass.NETWORK, f"it answered {answer.status}")
                        if answer.status >= 300:
                            self._say(f"notify.url answered {answer.status}: nobody was told")

                async with asyncio.timeout(_ANSWER_S):
                    await retry(once, clock=self._clock, attempts=TRIES)
        except (EngineError, TimeoutError) as error:
            # the address is a secret, so the error is not quoted where it may hold it
            self._say(f"notify.url could not be reached ({type(error).__name__}): nobody was told")

    async def _run(self, body: bytes) -> None:
        command = self._wanted.command
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ},
            )
        except OSError as error:
            self._say(f"notify.command {command[0]} cannot be started: {error.strerror}")
            return
        try:
            async with asyncio.timeout(_COMMAND_S):
                await child.communicate(body)
        except TimeoutError:
            child.kill()
            await child.wait()
            self._say(f"notify.command did not end within {_COMMAND_S:.0f} s and was ended")
            return
        if child.returncode:
            self._say(f"notify.command ended with {child.returncode}")


def signature(secret: str, body: bytes) -> str:
    """What the receiver computes too."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
