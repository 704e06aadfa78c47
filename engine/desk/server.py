"""``engine dashboard``: pages over the tracking DB, read-only, also while a run works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.desk import pages
from engine.desk.figures import Figures
from engine.desk.guard import Guard
from engine.desk.listen import Listen
from engine.desk.metrics import answering
from engine.limiting.clock import Clock
from engine.model.errors import Blocked, EngineError
from engine.model.ids import to18
from engine.runs.shared.signals import until_signal
from engine.settings import Settings

LIVE_EVERY_S = 2.0
_STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Desk:
    """Answers requests. Figures are read in threads, so that a slow question holds up no other."""

    def __init__(self, figures: Figures, clock: Clock) -> None:
        self._figures = figures
        self._clock = clock

    def app(self, guard: Guard) -> web.Application:
        """All addresses."""
        app = web.Application(middlewares=[guard.middleware])
        app.router.add_get("/", self._page("overview", lambda _request: {"now": self._figures.overview()}))
        app.router.add_get("/failures", self._page("failures", lambda _: {"errors": self._figures.failures()}))
        app.router.add_get("/accounts", self._page("accounts", self._accounts))
        app.router.add_get("/runs", self._page("runs", lambda _request: self._figures.runs()))
        app.router.add_get("/readiness", self._page("readiness", lambda _request: self._figures.readiness()))
        app.router.add_get("/record", self._page("record", self._record))
        app.router.add_get("/events", self._events)
        app.router.add_get("/metrics", answering(self._figures))
        app.router.add_get("/static/{name}", _static)
        return app

    def _page(self, template: str, values: Callable[[web.Request], dict[str, Any]]) -> Any:
        def made(request: web.Request) -> web.Response:
            try:
                shown = pages.page(template, at=self._clock.now(), **values(request))
            except EngineError as error:
                shown = pages.page("unreadable", at=self._clock.now(), why=str(error))
                return web.Response(text=shown, content_type="text/html", status=503)
            return web.Response(text=shown, content_type="text/html")

        async def handler(request: web.Request) -> web.Response:
            return await asyncio.to_thread(made, request)

        return handler

    def _accounts(self, request: web.Request) -> dict[str, Any]:
        query = request.query
        page = query.get("page", "1")
        number = int(page) if page.isdecimal() and len(page) < 9 else 1
        return {"accounts": self._figures.accounts(query.get("q", "")[:200], query.get("sort", ""), number)}

    def _record(self, request: web.Request) -> dict[str, Any]:
        asked = request.query.get("record", "").strip()[:100]
        if asked and not (asked.isascii() and asked.isalnum() and len(asked) in {15, 18}):
            return {"asked": asked, "story": None, "why": "A Salesforce Id has 15 or 18 letters and digits."}
        record = to18(asked) if len(asked) == 15 else asked
        return {"asked": record, "story": self._figures.story(record) if record else None, "why": ""}

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: what has changed of the first page, every two seconds."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        before: dict[str, str] = {}
        await response.prepare(request)
        while True:
            try:
                now = pages.live(await asyncio.to_thread(self._figures.moving))
            except EngineError:
                now = before
            changed = {name: text for name, text in now.items() if before.get(name) != text}
            line = f"data: {json.dumps(changed)}\n\n" if changed else ": nothing new\n\n"
            try:
                await response.write(line.encode())
            except ConnectionError:
                return response
            before = now
            await self._clock.sleep(LIVE_EVERY_S)


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in _STATIC:
        raise web.HTTPNotFound
    text = (files("engine.desk") / "static" / name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=_STATIC[name], headers={"Cache-Control": "max-age=3600"})


@asynccontextmanager
async def serving(database: Path, proofs: Sequence[str], listen: Listen, clock: Clock) -> AsyncIterator[str]:
    """Serve until the block ends; gives the address. ``proofs``: those that a switch accepts. Raises Blocked where
    the port is taken or the DB cannot be read."""
    figures = Figures(database, proofs, clock)
    await asyncio.to_thread(figures.overview)  # says what is wrong with the DB before anybody opens a page
    figures.warm()
    runner = web.AppRunner(
        Desk(figures, clock).app(Guard(listen.host, listen.token)), access_log=None, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, listen.host, listen.port)
        try:
            await site.start()
        except OSError as error:
            raise Blocked(
                f"nothing can listen on {listen.host}:{listen.port}: {error.strerror}", hint="Choose another --listen."
            ) from error
        port = runner.addresses[0][1]
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def until_stopped(settings: Settings, listen: Listen, clock: Clock, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises Blocked."""
    database, proofs = settings.tracking.database, settings.switch.accept_proof
    async with serving(database, proofs, listen, clock) as address:
        say(f"The desk is at {address}" + (" (add ?token=… once)" if listen.token else ""))
        say("Press Ctrl-C to stop it. Runs go on without it.")
        await until_signal(asyncio.Event().wait())
