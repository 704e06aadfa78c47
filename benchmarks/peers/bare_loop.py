"""The same signed CopyObject through our own wire and signer, and nothing else: the floor under the engine.

python -m benchmarks.peers.bare_loop URL FIRST COUNT IN_FLIGHT [CA_FILE]
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Iterator

import uvloop

from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.standin.store import name_of
from engine.limiting.clock import SystemClock
from engine.s3.api.address import address_of
from engine.s3.api.credentials import Keys
from engine.s3.api.sigv4 import Request, Signer
from engine.s3.wire.wire import Wire


async def copy_all(url: str, numbers: Iterator[int], in_flight: int, trust: ssl.SSLContext | None) -> None:
    clock, signer, keys = SystemClock(), Signer(), Keys("bench", "bench-secret")
    address = address_of(OURS, "us-east-1", url)
    async with Wire(limit=in_flight, clock=clock, ssl_context=trust) as wire:

        async def worker() -> None:
            for number in numbers:
                name = name_of(number)
                headers = {"x-amz-copy-source": f"{SOURCE}/{name}", "x-amz-metadata-directive": "COPY"}
                head = signer.head(Request("PUT", f"bare/{name}", "", headers, b""), address, keys, clock.now())
                reply = await wire.request(address.origin, head, method="PUT", deadline_s=60.0)
                if reply.status != 200:
                    raise RuntimeError(f"{reply.status} for {name}")

        async with asyncio.TaskGroup() as crew:
            for _ in range(in_flight):
                crew.create_task(worker())


def main() -> None:
    url, first, count, in_flight, *more = sys.argv[1:]
    trust = ssl.create_default_context(cafile=more[0]) if more else None
    numbers = iter(range(int(first), int(first) + int(count)))
    uvloop.run(copy_all(url, numbers, int(in_flight), trust))


main()
