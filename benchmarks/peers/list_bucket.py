"""List the source bucket through the engine's own inventory; prints objects, wall seconds and CPU per object.

python -m benchmarks.peers.list_bucket SETTINGS
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import uvloop

from engine.limiting.clock import SystemClock
from engine.reading.load import load_settings
from engine.s3.open import open_s3


async def count(settings_file: Path) -> dict[str, float]:
    settings = load_settings(settings_file, environ=os.environ, overrides={})
    async with open_s3(settings, SystemClock()) as s3:
        wall, cpu, objects = time.perf_counter(), time.process_time(), 0
        async for rows in s3.source.inventory(settings.source.buckets[0]):
            objects += len(rows)
        cpu_us = (time.process_time() - cpu) / objects * 1e6
        return {"objects": objects, "seconds": time.perf_counter() - wall, "cpu_us": cpu_us}


print(json.dumps(uvloop.run(count(Path(sys.argv[1])))))
