"""FILE, the tracking DB of the original scripts, read into the scratch DB of an import."""

from __future__ import annotations

from pathlib import Path

from engine.limiting.cooperative import yield_to_others
from engine.model.errors import Blocked
from engine.model.old_copy import Old, Unfit
from engine.runs.legacy.rows import Reading
from engine.runs.legacy.tally import Scripts, Tallied
from engine.runs.shared.bounds import Bounds
from engine.tracking.db.legacy_scratch import LegacyScratch
from engine.tracking.read.legacy import original


async def gather(path: Path, scratch: LegacyScratch, reading: Reading, tallied: Tallied, bounds: Bounds) -> None:
    """Read FILE. Raises Usage, Blocked."""
    file = tallied.file
    with original(path) as found:
        file.copied, file.scripts = found.copied, Scripts(*found.runs(), found.switches(), found.failed())
        elsewhere = wanted = 0
        for raw in found.rows():
            rows = [reading.row(each) for each in raw]
            file.read += len(rows)
            for row in rows:
                if isinstance(row, Unfit):
                    tallied.unfit(row)
            olds = [row for row in rows if isinstance(row, Old) and bounds.account_id in {None, row.account_id}]
            if bounds.limit is not None:
                olds = olds[: bounds.limit - wanted]
            elsewhere += sum(bool(old.link) and not reading.in_our_bucket(old.link) for old in olds)
            file.marked += sum(old.switched for old in olds)
            wanted += len(olds)
            scratch.add(olds)
            await yield_to_others()
    file.records = scratch.sort()
    file.duplicates, file.left_out = wanted - file.records, file.read - wanted - file.unfits.total()
    if wanted and elsewhere == wanted:
        raise Blocked(
            f"none of the {wanted:,} copies of {path} lies in s3://{reading.template.bucket}",
            hint="Set destination.bucket to the bucket that the original scripts wrote to. Nothing was written.",
        )
