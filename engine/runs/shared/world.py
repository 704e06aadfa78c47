"""What lies beyond this process, and who opens it: the org, the stores, the web, the threads of the tracking DB, the
disk.

One set of openers is in force. A simulation puts its own there; nothing else ever does.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from engine.limiting.private_files import DISK, Files
from engine.s3.transport import OpenClients, open_clients
from engine.salesforce.http import OpenHttp, open_http
from engine.tracking.db.database import Connect, threaded
from engine.web.client import OpenWeb, open_web


@dataclass(frozen=True, slots=True)
class World:
    """The real one, unless told otherwise."""

    http: OpenHttp = open_http
    clients: OpenClients = open_clients
    web: OpenWeb = open_web
    connect: Connect = threaded
    files: Files = DISK


WORLD: ContextVar[World] = ContextVar("world", default=World())  # noqa: B039 - it is frozen
