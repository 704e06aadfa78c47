"""Links formed anew: all or none, and a stop is heeded."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from engine.model.errors import Paused
from engine.model.keys import LinkTemplate
from engine.model.outcome import Batch
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.write import links
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied

TEMPLATE = LinkTemplate("https://ours.example/{key}", "ours", "us-east-1")
MANY = 8_000
"""Rows: enough for SQLite to ask twice whether to go on."""


async def test_a_stop_is_heeded_while_many_links_are_formed_anew_and_leaves_all_as_they_were(tmp_path: Path) -> None:
    async with open_database(tmp_path / "tracking.db", ManualClock()) as database:
        ledger = Ledger(database)
        await ledger.begin_run("backup", {"destination": {"url_template": "https://old.example/{key}"}}, version="1")
        await ledger.write(Batch([copied(number) for number in range(MANY)]))
        anew = LinkTemplate("https://new.example/{key}", "ours", "us-east-1")
        looks = count()

        with pytest.raises(Paused):
            await links.renew(database, anew, lambda _: True, look=True, stopped=lambda: next(looks) >= 1)

        assert await database.fetch("SELECT count(*) FROM file_migrations WHERE your_s3_url LIKE '%new.example%'") == [
            (0,)
        ]
        renewed, strange = await links.renew(database, anew, lambda _: True, look=True, stopped=lambda: False)
        assert renewed + strange.count == MANY
        assert await database.fetch("SELECT count(*) FROM file_migrations WHERE your_s3_url LIKE '%new.example%'") == [
            (MANY,)
        ]
