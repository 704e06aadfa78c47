"""The table of goals, run for real:

python -m benchmarks                          # everything; about an hour, on a machine that does nothing else
python -m benchmarks --only copies --records 20000 --pairs 1
python -m benchmarks --only scale --executor processes:N --ladder 1,2,4,8
python -m benchmarks --quick                  # everything, tiny: does it run and are the results right?
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.cases import copies, legacy, listings, million, scale, streams, tls_streams
from benchmarks.measure import machine
from benchmarks.report import Report

CASES: dict[str, Callable[[Bench], None]] = {
    "start": million.run_start,
    "copies": copies.run,
    "small": streams.run_small,
    "large": streams.run_large,
    "streams": tls_streams.run,
    "million": million.run,
    "legacy": legacy.run,
    "listing": listings.run_listing,
    "tls": copies.run_tls,
    "moto": listings.run_moto,
    "scale": scale.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="everything tiny; no timing is judged")
    parser.add_argument("--only", action="append", choices=list(CASES), help="repeatable")
    parser.add_argument("--records", type=int, help="instead of each case's own number")
    parser.add_argument("--pairs", type=int, default=3, help="how often engine and peer take turns")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--executor", default="processes:N", help="of the case scale; N: each number of the ladder")
    parser.add_argument("--ladder", type=_numbers, help="how many workers, one after the other: 1,2,4,8")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables, as they are printed")
    parser.add_argument("--room", type=Path, help="keep databases and logs here; orgs found here are used again")
    chosen = parser.parse_args()
    report = Report(machine(), judging=not chosen.quick)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(
            room=(chosen.room or Path(temporary)).resolve(),
            report=report,
            records=chosen.records,
            pairs=chosen.pairs,
            latency_ms=0.0 if chosen.quick else chosen.latency_ms,
            in_flight=chosen.in_flight,
            quick=chosen.quick,
            executor=chosen.executor,
            ladder=chosen.ladder or ((2,) if chosen.quick else (1, 2, 4, 8)),
        )
        broken = [name for name in chosen.only or CASES if not _works(name, bench)]
    text = "\n".join(report.lines()) + "\n"
    print("\n" + text)
    if chosen.json:
        chosen.json.write_text(report.as_json(), encoding="utf-8")
    if chosen.markdown:
        chosen.markdown.write_text(text, encoding="utf-8")
    if broken:
        print(f"failed: {', '.join(broken)}", file=sys.stderr)
    sys.exit(1 if broken else 0)


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _works(name: str, bench: Bench) -> bool:
    """Run one case; a broken one must not take the others with it."""
    print(f"{name} …", flush=True)
    try:
        CASES[name](bench)
    except Exception:  # noqa: BLE001 - told at the end, and in the exit code
        traceback.print_exc()
        return False
    return True


main()
