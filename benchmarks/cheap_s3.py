"""A loopback S3 that costs next to nothing, in a process of its own:

    python -m benchmarks.cheap_s3 --port 9000 --objects 100000 --size 1000 --latency-ms 20

Path-style. HEAD, GET (ranges), PUT, CopyObject, DELETE, multipart uploads and copies, listings (v1, v2), bucket
location. Any signature will do. Bodies are one pattern (``standin/content.py``): nothing is stored, ETags are honest.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
import ssl
from pathlib import Path

import orjson
import uvloop

from benchmarks.standin.connection import Connection, Later
from benchmarks.standin.service import Pace, Service
from benchmarks.standin.store import Ordinary, Prepared

SOURCE = "trackland-doc-storage"
OURS = "our-documents"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--objects", type=int, default=0, help=f"prepared objects in s3://{SOURCE}")
    parser.add_argument("--size", type=int, default=1000, help="their size in bytes, from size to size + spread")
    parser.add_argument("--spread", type=int, default=100)
    parser.add_argument("--bucket", action="append", default=[OURS], help="more empty buckets")
    parser.add_argument("--keep", type=int, default=64 << 10, help="keep odd bodies up to so many bytes")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--bandwidth", type=float, help="bytes a second of each connection")
    parser.add_argument("--refuse-above", type=float, help="requests a second beyond which 503 SlowDown is said")
    parser.add_argument("--retry-after", type=int, help="seconds, in a Retry-After header of those refusals")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--ready-file", type=Path, help="JSON with url and pid, written once it listens")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one does")
    chosen = parser.parse_args()
    if chosen.with_parent:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG, linux/prctl.h
    pace = Pace(chosen.latency_ms, chosen.bandwidth, chosen.refuse_above, chosen.retry_after)
    service = Service(pace, chosen.keep)
    service.buckets |= {name: Ordinary() for name in chosen.bucket}
    service.buckets[SOURCE] = Prepared(chosen.objects, chosen.size, chosen.spread)
    trust = None
    if chosen.tls_cert is not None:
        trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trust.load_cert_chain(chosen.tls_cert, chosen.tls_key)
    uvloop.run(_serve(service, chosen.host, chosen.port, trust, chosen.ready_file))


async def _serve(service: Service, host: str, port: int, trust: ssl.SSLContext | None, ready: Path | None) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    later = Later()
    server = await loop.create_server(lambda: Connection(service, later), host, port, ssl=trust, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    url = f"{'http' if trust is None else 'https'}://{host}:{port}"
    announcement = orjson.dumps({"url": url, "pid": os.getpid()})
    if ready is None:
        print(announcement.decode(), flush=True)
    else:
        aside = ready.with_suffix(".part")
        aside.write_bytes(announcement)
        aside.replace(ready)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    main()
