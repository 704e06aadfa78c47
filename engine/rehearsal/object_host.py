"""The stand-in object store's own process: moto's S3 over HTTP/1.1 that keeps connections, with side doors and faults.

Side doors, beside the S3 API (no bucket can have such a name):

=====================  ======================================================================================
``POST /__buckets__``  ``{"names": [...], "region": ..., "versioned": false}``
``POST /__load__``     NDJSON, one object a line (see ``object_store.load``)
``GET /__dump__``      ``?bucket=``; NDJSON, one object a line (see ``object_store.dump``)
``GET /__uploads__``   ``?bucket=``; open multipart uploads
``GET /__log__``       requests and counts; ``DELETE`` clears
``PUT /__faults__``    a JSON list of rules (see ``object_faults.Fault``); ``GET`` tells how often each fired
``POST /__reset__``    forget buckets, objects, log and rules
=====================  ======================================================================================
"""

from __future__ import annotations

import io
import itertools
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from engine.rehearsal import object_echo, object_store
from engine.rehearsal.object_checks import Request, refusal
from engine.rehearsal.object_faults import Answer, Fault, FaultBook, spoil
from engine.rehearsal.object_log import RequestLog

_SIDE_DOOR = re.compile(r"/__[a-z]+__")
_NUMBERS = itertools.count(1)
"""Of answers. By the number, sent as S3 sends it, a client knows an answer for S3's own."""
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class ObjectHost(ThreadedWSGIServer):
    """Serves on ``host`` and ``port`` (0: a free one, see ``server_port``) from the moment it is made."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, host: str, port: int) -> None:
        object_store.install()
        app = create_backend_app("s3")
        app.debug = False  # a failure inside moto is a 500, not a dead connection
        app.url_map.merge_slashes = False
        for rule in app.url_map.iter_rules():
            rule.merge_slashes = False
        self.log_of_requests = RequestLog()
        self.faults = FaultBook()
        self.stopping = threading.Event()
        super().__init__(host, port, app, _Handler)

    def side_door(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Answer:
        """What a side door answers; 404 for one that does not exist, 400 for what it cannot read."""
        try:
            return self._open(method, path, query, body)
        except (KeyError, ValueError, TypeError) as error:
            return Answer(400, (), f"{type(error).__name__}: {error}".encode())

    def _open(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Answer:
        match method, path.strip("/_"):
            case "POST", "buckets":
                wish = json.loads(body)
                for name in wish["names"]:
                    object_store.create_bucket(name, wish.get("region", "us-east-1"), wish.get("versioned", False))
                return _json({})
            case "POST", "load":
                start = time.perf_counter()
                count, size = object_store.load(json.loads(line) for line in body.splitlines() if line)
                return _json({"objects": count, "bytes": size, "seconds": time.perf_counter() - start})
            case "GET", "dump":
                lines = (json.dumps(entry).encode() + b"\n" for entry in object_store.dump(query["bucket"][0]))
                return Answer(200, (("Content-Type", "application/x-ndjson"),), b"".join(lines))
            case "GET", "uploads":
                return _json(object_store.open_uploads(query["bucket"][0]))
            case "GET", "log":
                return _json(self.log_of_requests.report())
            case "DELETE", "log":
                self.log_of_requests.clear()
                return _json({})
            case "GET", "faults":
                return _json(self.faults.report())
            case "PUT", "faults":
                self.faults.put([Fault.from_json(rule) for rule in json.loads(body)])
                return _json({})
            case "POST", "reset":
                object_store.reset()
                self.log_of_requests.clear()
                self.faults.put([])
                return _json({})
            case _:
                return Answer(404)


class _Handler(MotoRequestHandler):
    """Reads whole requests and writes whole answers, so that a connection can serve many and a fault can be exact."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ObjectHost

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        headers = {name.lower(): value for name, value in self.headers.items()}
        target = environ["RAW_URI"]
        if _SIDE_DOOR.fullmatch(environ["PATH_INFO"]):
            query = parse_qs(environ["QUERY_STRING"])
            self._send(self.server.side_door(self.command, environ["PATH_INFO"], query, self._read_body(environ)))
            return
        fault = self.server.faults.decide(self.command, target, headers)
        answer = self._answer(environ, headers, fault)
        self.server.log_of_requests.add(self.command, target, headers, answer.status, fault.kind if fault else None)
        self._send(answer)

    def _answer(self, environ: dict[str, Any], headers: Mapping[str, str], fault: Fault | None) -> Answer:
        if fault is None:
            return self._apply(environ, headers)
        self.server.stopping.wait(fault.seconds)
        if fault.kind == "reset" and not fault.needs_answer:
            return spoil(fault, Answer(0))
        if fault.needs_answer or fault.kind == "delay":
            return spoil(fault, self._apply(environ, headers))
        self._read_body(environ)
        return spoil(fault, Answer(0))

    def _apply(self, environ: dict[str, Any], headers: Mapping[str, str]) -> Answer:
        body = self._read_body(environ)
        path = unquote(environ["RAW_URI"].partition("?")[0])
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()}
        asked = Request(self.command, path, query, headers, body)
        no = refusal(asked, object_store.etag_of) or object_echo.refusal(asked)
        if no is not None:
            return no
        return object_echo.echoed(asked, _call(self.server.app, object_echo.quiet(environ, asked)))

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        """Take the request's body off the wire and leave it in ``environ`` for the app."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read()
            environ["HTTP_TRANSFER_ENCODING"] = "identity"
        else:
            body = self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        return bytes(body)

    def _send(self, answer: Answer) -> None:
        if answer.reset:
            self._reset()
            return
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", f"Date: {self.date_time_string()}"]
        lines.append(f"x-amz-request-id: {next(_NUMBERS):016X}")
        lines += (f"{name}: {value}" for name, value in answer.headers if self._may_pass(name))
        has_body = self.command != "HEAD" and answer.status not in _BODILESS
        if has_body or "content-length" not in {name.lower() for name, _ in answer.headers}:
            lines.append(f"Content-Length: {len(answer.body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.wfile.write(head + answer.body[: answer.cut] if has_body else head)
        if answer.cut is not None:
            self.close_connection = True

    def _may_pass(self, name: str) -> bool:
        match name.lower():
            case "content-length":
                return self.command == "HEAD"
            case "connection" | "transfer-encoding" | "date" | "x-amzn-requestid":
                return False
            case _:
                return True

    def _reset(self) -> None:
        """End the connection with RST: the peer sees ECONNRESET, not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: thousands of requests go by."""


def _json(document: object) -> Answer:
    return Answer(200, (("Content-Type", "application/json"),), json.dumps(document).encode())


def _call(app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> Answer:
    """Run a WSGI app to its end."""
    said: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], None]:
        said.append((status, headers))
        return written.append

    written: list[bytes] = []
    chunks = app(environ, start_response)
    try:
        written.extend(chunks)
    finally:
        if close := getattr(chunks, "close", None):
            close()
    status, headers = said[-1]
    return Answer(int(status.split()[0]), tuple(headers), b"".join(written))
