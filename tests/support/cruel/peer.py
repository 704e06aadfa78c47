"""A peer: a server between the command and a stand-in, in a thread of its own, whose behaviours are put together.

``Peer(stage.store.url)`` passes everything on. ``peer.behave(Drips(), Flips())`` lets ``Drips`` handle each request
first, and ask ``Flips`` for its answer, which asks the stand-in.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import aiohttp
from yarl import URL

from tests.support.servers.capture import Double, Recorded, Reply
from tests.support.servers.streams import serving

Answer = Reply | bytes
Ask = Callable[[Recorded], Awaitable[Reply]]
LOGIN = "AWS4-HMAC-SHA256 Credential=rehearsal/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"
"""Opens the stand-in, which takes any signature, where the command sends none."""
_ENDS_HERE = frozenset({"connection", "transfer-encoding", "content-length", "expect", "host"})


class Behaviour:
    """One way to behave; this one passes everything on. ``odd`` tells whom it is about: it is part of their keys."""

    def __init__(self, odd: str = "odd") -> None:
        self.odd = odd
        self.met = 0
        """How often it did what it is there for."""

    def concerns(self, asked: Recorded) -> bool:
        return self.odd in asked.path

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        return await ask(asked)


class Peer:
    """``url`` is where it listens; ``login`` goes with requests that have none."""

    def __init__(self, upstream: str, login: str = LOGIN) -> None:
        self.upstream = upstream
        self.url = ""
        self.behaviours: tuple[Behaviour, ...] = ()
        self.double = Double((), self._answer)
        self._login = login
        self._client: aiohttp.ClientSession | None = None

    def behave(self, *behaviours: Behaviour) -> None:
        """Behave so from now on; without any, pass everything on."""
        self.behaviours = behaviours

    async def _answer(self, asked: Recorded) -> Answer:
        ask: Callable[[Recorded], Awaitable[Answer]] = self._ask
        for behaviour in reversed(self.behaviours):
            ask = partial(behaviour.answer, ask=ask)  # type: ignore[arg-type]  # raw bytes come from the first only
        return await ask(asked)

    async def _ask(self, asked: Recorded) -> Reply:
        """What the stand-in says."""
        assert self._client is not None
        headers = [(name, value) for name, value in asked.lines if name.lower() not in _ENDS_HERE]
        if "authorization" not in asked.headers and self._login:
            headers.append(("Authorization", self._login))
        url = URL(self.upstream + asked.target, encoded=True)
        body = io.BytesIO(asked.body) if asked.body else None
        if body is not None:
            headers.append(("Content-Length", str(len(asked.body))))
        async with self._client.request(
            asked.method, url, headers=headers, data=body, allow_redirects=False, skip_auto_headers=["Content-Type"]
        ) as told:
            kept = {name: value for name, value in told.headers.items() if name.lower() != "transfer-encoding"}
            return Reply(told.status, kept, await told.read())

    async def serve(self, stack: AsyncExitStack) -> None:
        """Listen until the stack is closed."""
        self._client = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        self.url = f"http://127.0.0.1:{await stack.enter_async_context(serving(self.double.handle))}"


@contextmanager
def peers(*peers: Peer) -> Iterator[None]:
    """They listen for the length of the block, in a thread of their own: the command runs in this one."""
    listening, over = threading.Event(), threading.Event()

    async def play() -> None:
        async with AsyncExitStack() as stack:
            for peer in peers:
                await peer.serve(stack)
            listening.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(play(),), daemon=True)
    thread.start()
    assert listening.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()
