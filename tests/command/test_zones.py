"""Times are told in the machine's zone, and written in UTC."""

from __future__ import annotations

import re

from tests.support.corner import Whole


def test_people_read_local_times_and_scripts_utc(whole: Whole) -> None:
    begun = whole.corner.runs()[0]["start_time"]
    assert begun.endswith("Z")

    berlin = whole.corner.process("status", TZ="Europe/Berlin").out
    utc = whole.corner.process("status", TZ="UTC").out
    document = whole.corner.process("status", "--json", TZ="Europe/Berlin").json

    assert re.search(r"started \d{4}-\d\d-\d\d \d\d:\d\d:\d\d CES?T", berlin)
    assert f"started {begun[:10]} {begun[11:19]} UTC" in utc
    assert begun in str(document)
