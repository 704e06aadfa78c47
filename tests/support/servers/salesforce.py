"""A server that answers from a script: for what a well-behaved stand-in would never say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Reply:
    """One answer. ``cut`` drops the connection after half of the body."""

    body: Any = None
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False

    @property
    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Script = Callable[[Seen], Reply]


class ScriptedServer:
    """Asks the script for each answer and keeps what it was asked."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.url = ""
        self.running = 0
        self.busiest = 0

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1") -> AsyncIterator[ScriptedServer]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, host, 0)
        await site.start()
        self.url = f"http://{host}:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        self.seen.append(seen)
        self.running += 1
        self.busiest = max(self.busiest, self.running)
        try:
            await asyncio.sleep(0)
            reply = self.script(seen)
        finally:
            self.running -= 1
        headers = {"Content-Type": reply.content_type, **reply.headers}
        body = b"" if reply.body is None else reply.encoded
        if not reply.cut:
            return web.Response(status=reply.status, body=body, headers=headers)
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.abort()
        return response


def token_reply(url: str, token: str = "00D000000000001!AQtoken", **more: Any) -> Reply:
    return Reply({"access_token": token, "instance_url": url, "token_type": "Bearer", **more})


def problem(code: str, message: str, status: int = 400, **headers: str) -> Reply:
    return Reply(
        [{"errorCode": code, "message": message}], status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def rows(*ids: str, total: int | None = None, link: str | None = None) -> Reply:
    records = [{"Id": row_id, "SystemModstamp": "2026-01-02T03:04:05.000+0000"} for row_id in ids]
    body: dict[str, Any] = {"totalSize": len(ids) if total is None else total, "done": link is None, "records": records}
    return Reply(body | ({"nextRecordsUrl": link} if link else {}))
