"""The side door of the Salesforce stand-in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from engine.rehearsal.salesforce import StandInSettings
from tests.support.standin import calling, entry


async def test_the_front_page_says_that_this_is_a_simulator() -> None:
    async with calling(login=False) as org:
        answer = await org.raw("GET", org.server.url + "/")

        assert answer.status == 200
        assert b"simulator" in answer.body


async def test_rows_loaded_by_the_side_door_come_back_as_ground_truth() -> None:
    async with calling() as org:
        lines = b"\n".join(json.dumps({"Name": f"n{n}", "Document__c": "https://x.test/a"}).encode() for n in range(3))
        loaded = await org.sim("POST", "records?object=DocListEntry__c&echo_ids=1", data=lines)
        dump = await org.raw("GET", f"{org.server.url}/__sim__/dump?object=DocListEntry__c")
        one = await org.sim("GET", "records", params={"ids": loaded["ids"][1]})

        assert loaded["loaded"] == 3
        assert [json.loads(line)["Name"] for line in dump.body.splitlines()] == ["n0", "n1", "n2"]
        assert one["Name"] == "n1"
        assert one["IsDeleted"] is False


async def test_rows_may_be_loaded_with_ids_of_their_own_and_new_ids_never_collide() -> None:
    async with calling() as org:
        first = org.load(2)
        again = org.load(2)

        assert sorted({*first, *again}) == first + again
        org.world.load("DocListEntry__c", [{"Id": "a0X0000000000zz", "Name": "mine"}])
        assert org.world.record("a0X0000000000zz") is not None


async def test_a_loaded_field_nobody_knows_is_refused() -> None:
    async with calling() as org:
        answer = await org.raw("POST", f"{org.server.url}/__sim__/records", data=b'{"Nope": 1}')

        assert answer.status == 400
        assert "Nope" in answer.json["error"]


async def test_an_id_that_is_there_already_is_refused_and_nothing_is_loaded() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        lines = b'{"Name": "new"}\n' + json.dumps({"Id": row_id, "Name": "twice"}).encode()
        answer = await org.raw("POST", f"{org.server.url}/__sim__/records", data=lines)

        assert answer.status == 400
        assert org.world.count("DocListEntry__c") == 1


async def test_an_edit_by_a_person_moves_the_stamps_and_names_another_user() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        before = org.world.record(row_id)
        await org.sim("POST", "clock", json={"advance": 5})
        await org.sim("POST", "edit", json={"ids": [row_id], "set": {"Document__c": "https://y.test"}})
        after = org.world.record(row_id)

        assert before is not None
        assert after is not None
        assert after["Document__c"] == "https://y.test"
        assert after["SystemModstamp"] == "2026-11-22T10:00:05.000+0000" > before["SystemModstamp"]
        assert after["LastModifiedById"] != org.server.org.user_id


async def test_rows_are_deleted_and_undeleted_by_the_side_door() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)

        await org.sim("POST", "delete", json={"ids": [row_id]})
        assert await org.names("") == []
        await org.sim("POST", "undelete", json={"ids": [row_id]})
        assert await org.names("") == ["0000"]


async def test_the_log_tells_what_was_asked_and_what_was_written() -> None:
    async with calling() as org:
        ids = org.load(2)
        await org.names("")
        await org.patch([entry(row_id, Identifier__c="new") for row_id in ids])
        written = await org.sim("GET", "log", params={"method": "PATCH"})
        queries = await org.sim("GET", "log", params={"name": "query", "clear": "1"})

        assert written["entries"][0]["ids_written"] == ids
        assert written["entries"][0]["status"] == 200
        assert written["entries"][0]["bytes_in"] > 100
        assert queries["entries"][0]["query"] == "q=SELECT Name FROM DocListEntry__c "
        assert len(org.server.org.log) == 0


async def test_the_side_door_is_neither_logged_nor_counted() -> None:
    async with calling(login=False) as org:
        await org.sim("GET", "settings")

        assert len(org.server.org.log) == 0
        assert org.server.org.usage.used() == 0


async def test_secrets_are_not_among_the_settings_told() -> None:
    async with calling() as org:
        told = json.dumps(await org.sim("GET", "settings"))

        assert "rehearsal-secret" not in told
        assert "rehearsal-secret" not in repr(org.server.org.settings)


async def test_latency_is_slept_through_the_clock() -> None:
    async with calling(StandInSettings(latency_ms={"query": 300, "*": (10, 20)})) as org:
        org.clock.slept.clear()
        await org.names("")
        await org.call("GET", "/limits")

        assert org.clock.slept == [0.3, 0.0125]


@pytest.mark.parametrize("farewell", [signal.SIGTERM, signal.SIGKILL])
def test_the_command_serves_until_told_to_stop_and_keeps_its_rows(tmp_path: Path, farewell: signal.Signals) -> None:
    db, ready = tmp_path / "org.db", tmp_path / "ready.json"
    with _started(db, ready, farewell) as url:
        assert requests.post(f"{url}/__sim__/records", data=b'{"Name": "kept"}', timeout=10).json() == {"loaded": 1}
    ready.unlink()
    with _started(db, ready) as url:
        rows = requests.get(f"{url}/__sim__/dump", timeout=10).text.splitlines()

    assert [json.loads(row)["Name"] for row in rows] == ["kept"]


@contextmanager
def _started(db: Path, ready: Path, farewell: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    command = [sys.executable, "-m", "engine.rehearsal.salesforce", "--db", str(db), "--ready-file", str(ready)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not ready.exists():  # another process writes it: there is nothing to await
            assert process.poll() is None
            time.sleep(0.02)
        facts = json.loads(ready.read_text())
        assert facts["pid"] == process.pid
        try:
            yield facts["url"]
        finally:
            process.send_signal(farewell)
            said, _ = process.communicate(timeout=30)
        assert said == b""
        assert process.returncode == (0 if farewell is signal.SIGTERM else -farewell)
