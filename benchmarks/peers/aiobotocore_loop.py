"""CopyObject through aiobotocore, as one would write it by hand, under uvloop.

python -m benchmarks.peers.aiobotocore_loop URL COUNT IN_FLIGHT
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.standin.store import name_of


async def copy_all(url: str, numbers: Iterator[int], in_flight: int) -> None:
    config = AioConfig(
        max_pool_connections=in_flight, parameter_validation=False, request_checksum_calculation="when_required"
    )
    async with get_session().create_client("s3", endpoint_url=url, config=config) as s3:

        async def worker() -> None:
            for number in numbers:
                name = name_of(number)
                await s3.copy_object(Bucket=OURS, Key=name, CopySource=f"{SOURCE}/{name}")

        async with asyncio.TaskGroup() as crew:
            for _ in range(in_flight):
                crew.create_task(worker())


def main() -> None:
    url, count, in_flight = sys.argv[1:]
    uvloop.run(copy_all(url, iter(range(int(count))), int(in_flight)))


main()
