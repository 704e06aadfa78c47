"""boto3 under a ThreadPoolExecutor: the script that a migration usually begins with.

python -m benchmarks.peers.boto3_threads copy URL COUNT THREADS
python -m benchmarks.peers.boto3_threads stream URL COUNT THREADS URL_OF_THE_OTHER_SERVICE
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.standin.store import name_of


def main() -> None:
    what, url, count, threads, *other = sys.argv[1:]
    config = Config(max_pool_connections=int(threads))
    source = boto3.client("s3", endpoint_url=url, config=config)
    ours = boto3.client("s3", endpoint_url=other[0], config=config) if other else source

    def copy(number: int) -> None:
        name = name_of(number)
        ours.copy_object(Bucket=OURS, Key=name, CopySource={"Bucket": SOURCE, "Key": name})

    def stream(number: int) -> None:
        name = name_of(number)
        found: Any = source.get_object(Bucket=SOURCE, Key=name)
        ours.put_object(Bucket=OURS, Key=name, Body=found["Body"].read(), ContentType=found["ContentType"])

    with ThreadPoolExecutor(int(threads)) as pool:
        for _ in pool.map({"copy": copy, "stream": stream}[what], range(int(count))):
            pass


main()
