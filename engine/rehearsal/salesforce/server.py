"""The HTTP face of the stand-in."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime

from aiohttp import web

from engine.limiting.clock import Clock, SystemClock
from engine.rehearsal.salesforce import answering
from engine.rehearsal.salesforce.clock import OrgClock, stamp
from engine.rehearsal.salesforce.faults import ANSWERING, CHANGING, REFUSING, SLOWING, Rule
from engine.rehearsal.salesforce.handlers.control import PREFIX, control
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.routes import router
from engine.rehearsal.salesforce.schema import Schema, default_schema
from engine.rehearsal.salesforce.settings import StandInSettings
from engine.rehearsal.salesforce.usage import LONG_CALL_S
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse
from engine.rehearsal.salesforce.world import World

BANNER = "This is a simulator: a stand-in for a Salesforce org on this machine. Nothing here is real.\n"
_LINE_MAX = 256 * 1024  # what the HTTP parser takes; the service's own limits are far below and answered by us
_GZIP_FROM = 1_024
_UNANSWERED = 599  # nobody sees it: the connection is gone


@dataclass(slots=True)
class Server:
    """A stand-in that listens. ``url`` is the instance; ``login_url`` where tokens are asked for."""

    url: str
    login_url: str
    org: Org

    @property
    def world(self) -> World:
        """Ground truth."""
        return self.org.world


class SalesforceStandIn:
    """One org and its server; see the package for how to start it."""

    def __init__(
        self, settings: StandInSettings | None = None, *, schema: Schema | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = settings or StandInSettings()
        self._schema = schema or default_schema()
        self._clock = OrgClock(clock or SystemClock())
        self._running: dict[int, float] = {}
        self._calls = 0
        self._login_port: int | None = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Server]:
        """Listen until the block ends; the database closes with it."""
        settings = self._settings
        org = Org(settings, self._schema, self._clock, router())
        app = web.Application(client_max_size=256 * 1024 * 1024)

        async def handle(http: web.Request) -> web.StreamResponse:
            return await self._handle(org, http)

        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(
            app, access_log=None, max_line_size=_LINE_MAX, max_field_size=_LINE_MAX, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            org.instance_url = await self._listen(runner, settings.port, settings.instance_host or settings.host)
            org.login_url = org.instance_url
            if settings.separate_login:
                org.login_url = await self._listen(runner, settings.login_port, settings.host)
                self._login_port = int(org.login_url.rpartition(":")[2])
            elif settings.instance_host:
                port = org.instance_url.rpartition(":")[2]
                org.login_url = f"{self._scheme()}://{settings.host}:{port}"
            yield Server(org.instance_url, org.login_url, org)
        finally:
            await runner.cleanup()
            org.close()

    async def _listen(self, runner: web.AppRunner, port: int, shown_host: str) -> str:
        bound = socket.create_server((self._settings.host, port))
        context = None
        if self._settings.tls_cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._settings.tls_cert, self._settings.tls_key)
        await web.SockSite(runner, bound, ssl_context=context).start()
        return f"{self._scheme()}://{shown_host}:{bound.getsockname()[1]}"

    def _scheme(self) -> str:
        return "http" if self._settings.tls_cert is None else "https"

    async def _handle(self, org: Org, http: web.Request) -> web.StreamResponse:
        if http.path.startswith(PREFIX):
            return await control(org, http)
        if http.path == "/" and http.method == "GET":
            return web.Response(text=BANNER)
        self._calls += 1
        number = self._calls
        self._running[number] = org.clock.monotonic()
        try:
            return await self._answer(org, http)
        finally:
            del self._running[number]

    async def _answer(self, org: Org, http: web.Request) -> web.StreamResponse:
        started, arrived = org.clock.monotonic(), org.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        too_long = _too_long(http)
        request = await self._read(http)
        route = answering.route_of(org, request)
        target = request.target()
        for rule in org.faults.strikes(CHANGING, request.name, target):
            answering.change_world(org, rule)
        struck = org.faults.strikes(SLOWING, request.name, target)
        cut = next((rule for rule in struck if rule.kind == "cut_then_commit"), None)
        if cut is not None:
            _cut(http, reset=False)
        held = org.locks.take(request, org.settings.lock_parent)
        try:
            await self._pause(org, request.name, struck)
        finally:
            org.locks.give_back(held)
        refusal = org.faults.strike(REFUSING, request.name, target)
        if refusal is not None and refusal.kind == "reset":
            response = ApiResponse(status=0)
        elif too_long is not None:
            response = too_long.response()
        else:
            response = answering.answer(org, request, route, refusal, self._long_calls(started))
        _move_instance(org, request, response)
        after = org.faults.strike(ANSWERING, request.name, target) if refusal is None else None
        struck = [rule for rule in (*struck, refusal, after) if rule is not None]
        if after is not None and after.kind == "slow_after":
            await org.clock.sleep(float(after.params.get("seconds", 1.0)))
        sent = await self._send(http, response, cut or refusal or after)
        unanswered = sent.status == _UNANSWERED
        org.log.add(
            time=stamp(org.clock.now()),
            arrived=arrived,
            name=request.name,
            method=request.method,
            path=request.path,
            query=target.partition("?")[2],
            status=0 if unanswered else sent.status,
            bytes_in=len(request.body),
            bytes_out=len(response.body),
            seconds=org.clock.monotonic() - started,
            faults=" ".join(rule.kind for rule in struck),
            ids_written=request.ids_written,
        )
        return sent

    async def _read(self, http: web.Request) -> ApiRequest:
        port = http.transport.get_extra_info("sockname")[1] if http.transport is not None else None
        return ApiRequest(
            method=http.method,
            path=http.path,
            query=dict(http.query),
            headers={name.lower(): value for name, value in http.headers.items()},
            body=await http.read(),
            on_login_host=port is not None and port == self._login_port,
        )

    async def _pause(self, org: Org, name: str, slow: list[Rule]) -> None:
        latency = org.settings.latency_ms.get(name, org.settings.latency_ms.get("*", 0.0))
        if isinstance(latency, tuple | list):
            low, high = latency
            latency = low + (high - low) * org.clock.random()
        seconds = latency / 1_000 + sum(float(rule.params.get("seconds", 1.0)) for rule in slow)
        if seconds > 0:
            await org.clock.sleep(seconds)

    def _long_calls(self, now: float) -> int:
        return sum(1 for since in self._running.values() if now - since >= LONG_CALL_S)

    async def _send(self, http: web.Request, response: ApiResponse, rule: Rule | None) -> web.StreamResponse:
        kind = rule.kind if rule is not None else ""
        if kind in {"reset", "commit_then_cut", "cut_then_commit"}:
            _cut(http, reset=kind == "reset")
            return web.Response(status=_UNANSWERED)
        if kind == "commit_then_503":
            response = answering.unavailable(rule.params if rule is not None else {})
        if kind == "commit_then_page":
            response = answering.page_of_a_proxy()
        body, headers = response.body, dict(response.headers)
        if kind == "truncated_json":
            body = body[: len(body) // 2]
        headers["Content-Type"] = response.content_type
        headers["Date"] = format_datetime(self._clock.now(), usegmt=True)
        if self._settings.gzip and len(body) >= _GZIP_FROM and "gzip" in http.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        if kind == "cut_mid_body":
            return await _half(http, response.status, headers, body)
        return web.Response(status=response.status, body=body or None, headers=headers)


def _too_long(http: web.Request) -> ApiError | None:
    uri = len(http.raw_path.encode())
    if uri > answering.MAX_URI:
        return ApiError(414, "URI_TOO_LONG", "The URI is longer than 16,384 bytes")
    if uri + sum(len(name) + len(value) + 4 for name, value in http.raw_headers) > answering.MAX_URI:
        return ApiError(431, "REQUEST_HEADER_TOO_LARGE", "URI and headers together are longer than 16,384 bytes")
    return None


def _move_instance(org: Org, request: ApiRequest, response: ApiResponse) -> None:
    if request.name != "token" or response.status != 200:
        return
    rule = org.faults.strike(("new_instance_url",), request.name, request.target())
    if rule is not None:
        response.body = response.body.replace(org.instance_url.encode(), rule.params["url"].encode())


def _cut(http: web.Request, *, reset: bool) -> None:
    transport = http.transport
    if transport is None:
        return
    if reset:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _half(http: web.Request, status: int, headers: dict[str, str], body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(body)
    await response.prepare(http)
    await response.write(body[: len(body) // 2])
    _cut(http, reset=False)
    return response
