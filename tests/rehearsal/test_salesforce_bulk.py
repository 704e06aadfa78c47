"""Bulk API 2.0: query jobs and ingest jobs."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.rehearsal.test_salesforce_support import Answer, Caller, calling

CSV = {"Content-Type": "text/csv"}


def rows(answer: Answer) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.body.decode())))


async def query_job(org: Caller, soql: str, **more: Any) -> dict[str, Any]:
    """A query job that is complete."""
    made = await org.call("POST", "/jobs/query", json={"operation": "query", "query": soql, **more})
    assert made.status == 200, made.body
    assert made.json["state"] == "UploadComplete"
    states = [(await org.call("GET", f"/jobs/query/{made.json['id']}")).json for _ in range(2)]
    assert [job["state"] for job in states] == ["InProgress", "JobComplete"]
    whole: dict[str, Any] = states[-1]
    return whole


async def ingest_job(org: Caller, text: str, operation: str = "update", polls: int = 2) -> dict[str, Any]:
    """An ingest job after its upload was closed and somebody asked so many times."""
    body = {"object": "DocListEntry__c", "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
    job = (await org.call("POST", "/jobs/ingest", json=body)).json
    assert job["state"] == "Open"
    uploaded = await org.call("PUT", "/" + job["contentUrl"], data=text.encode(), headers=CSV)
    assert (uploaded.status, uploaded.body) == (201, b"")
    closed = await org.call("PATCH", f"/jobs/ingest/{job['id']}", json={"state": "UploadComplete"})
    assert closed.json["state"] == "UploadComplete"
    for _ in range(polls):
        job = (await org.call("GET", f"/jobs/ingest/{job['id']}")).json
    return dict(job)


async def test_a_query_job_hands_out_csv_pages_that_can_be_read_again() -> None:
    async with calling() as org:
        (acme,) = org.world.load("Account", [{"Name": 'Acme "A", Inc.'}])
        ids = org.load(5, Account__c=acme, Identifier__c="two\nlines")
        job = await query_job(
            org, "SELECT Id, Identifier__c, Document__c, IsDeleted, Account__r.Name FROM DocListEntry__c"
        )
        path = f"/jobs/query/{job['id']}/results"
        first = await org.call("GET", path, params={"maxRecords": "3"})
        params = {"maxRecords": "3", "locator": first.headers["Sforce-Locator"]}
        second = await org.call("GET", path, params=params)
        again = await org.call("GET", path, params=params)

        assert (job["numberRecordsProcessed"], job["jobType"], job["apiVersion"]) == (5, "V2Query", 62.0)
        assert first.headers["Content-Type"] == "text/csv"
        assert first.body.startswith(b'"Id","Identifier__c","Document__c","IsDeleted","Account__r.Name"\n')
        assert rows(first)[1] == [ids[0], "two\nlines", "", "false", 'Acme "A", Inc.']
        assert (first.headers["Sforce-NumberOfRecords"], second.headers["Sforce-NumberOfRecords"]) == ("3", "2")
        assert second.headers["Sforce-Locator"] == "null"
        assert [row[0] for row in rows(first)[1:] + rows(second)[1:]] == ids
        assert again.body == second.body


async def test_a_query_job_writes_times_with_a_z() -> None:
    async with calling() as org:
        org.load(1)
        job = await query_job(org, "SELECT CreatedDate FROM DocListEntry__c", columnDelimiter="PIPE", lineEnding="CRLF")
        answer = await org.call("GET", f"/jobs/query/{job['id']}/results")

        assert answer.body == b'"CreatedDate"\r\n"2026-11-22T10:00:00.000Z"\r\n'


@pytest.mark.parametrize(
    "soql",
    [
        "SELECT COUNT() FROM Account",
        "SELECT Name, COUNT(Id) FROM Account GROUP BY Name",
        "SELECT Id FROM Account LIMIT 5 OFFSET 2",
    ],
)
async def test_what_bulk_cannot_do_is_400(soql: str) -> None:
    async with calling() as org:
        answer = await org.call("POST", "/jobs/query", json={"operation": "query", "query": soql})

        assert answer.status == 400


async def test_results_need_a_complete_job_and_its_own_version() -> None:
    async with calling() as org:
        made = await org.call("POST", "/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"})
        early = await org.call("GET", f"/jobs/query/{made.json['id']}/results")
        job = await query_job(org, "SELECT Id FROM Account")
        other = await org.call("GET", f"/services/data/v61.0/jobs/query/{job['id']}/results")

        assert early.status == 400
        assert other.status == 409


async def test_a_job_can_be_aborted_deleted_and_grows_old() -> None:
    async with calling() as org:
        body = {"operation": "query", "query": "SELECT Id FROM Account"}
        first, second = [(await org.call("POST", "/jobs/query", json=body)).json["id"] for _ in range(2)]
        aborted = await org.call("PATCH", f"/jobs/query/{first}", json={"state": "Aborted"})
        deleted = await org.call("DELETE", f"/jobs/query/{first}")
        gone = await org.call("GET", f"/jobs/query/{first}")
        listed = await org.call("GET", "/jobs/query")
        await org.sim("POST", "clock", json={"advance": 8 * 86_400})
        await org.login()
        old = await org.call("GET", f"/jobs/query/{second}")

        assert aborted.json["state"] == "Aborted"
        assert deleted.status == 204
        assert [job["id"] for job in listed.json["records"]] == [second]
        assert [gone.code, old.code] == ["NOT_FOUND", "NOT_FOUND"]


async def test_an_ingest_job_updates_rows_and_lists_each_outcome() -> None:
    async with calling() as org:
        ids = org.load(4, Document__c="https://old.test", Identifier__c="keep")
        org.world.set_deleted(ids[3:], deleted=True)
        lines = [
            "Id,Document__c,Identifier__c",
            f'{ids[0]},"https://new.test/a,b",',
            f"{ids[1]},#N/A,new",
            f"{ids[2]},{'x' * 256},",
            f"{ids[3]},https://new.test,",
        ]
        job = await ingest_job(org, "\n".join(lines) + "\n")
        good = await org.call("GET", f"/jobs/ingest/{job['id']}/successfulResults/")
        bad = await org.call("GET", f"/jobs/ingest/{job['id']}/failedResults/")
        left = await org.call("GET", f"/jobs/ingest/{job['id']}/unprocessedrecords/")
        first, second = (org.world.record(row_id) for row_id in ids[:2])

        assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 4, 2)
        assert rows(good)[0] == ["sf__Id", "sf__Created", "Id", "Document__c", "Identifier__c"]
        assert {row[0] for row in rows(good)[1:]} == set(ids[:2])
        assert {row[0]: row[1].split(":")[0] for row in rows(bad)[1:]} == {
            ids[2]: "STRING_TOO_LONG",
            ids[3]: "ENTITY_IS_DELETED",
        }
        assert next(row[1] for row in rows(bad) if row[0] == ids[3]) == "ENTITY_IS_DELETED:entity is deleted:--"
        assert rows(left) == [["Id", "Document__c", "Identifier__c"]]
        assert first is not None
        assert second is not None
        assert (first["Document__c"], first["Identifier__c"]) == ("https://new.test/a,b", "keep")
        assert (second["Document__c"], second["Identifier__c"]) == (None, "new")


async def test_results_come_in_another_order_than_the_input() -> None:
    async with calling() as org:
        ids = org.load(50)
        job = await ingest_job(org, "Id,Identifier__c\n" + "".join(f"{row_id},x\n" for row_id in ids))
        answer = await org.call("GET", f"/jobs/ingest/{job['id']}/successfulResults")
        found = [row[0] for row in rows(answer)[1:]]

        assert found != ids
        assert sorted(found) == ids


async def test_rows_are_inserted_in_bulk() -> None:
    async with calling() as org:
        job = await ingest_job(org, "Name\nfirst\nsecond\n", operation="insert")

        assert job["numberRecordsFailed"] == 0
        assert await org.names("ORDER BY Name") == ["first", "second"]


@pytest.mark.parametrize("header", ["Id,Nope__c", "Identifier__c", "Id,Identifier__c,Name"])
async def test_a_header_that_does_not_fit_fails_the_job_with_nothing_processed(header: str) -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        job = await ingest_job(org, f"{header}\n{row_id},x\n", polls=1)

        assert job["state"] == "Failed"
        assert job["errorMessage"].startswith("InvalidBatch : ")
        assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (0, 0)


async def test_a_job_takes_one_upload_of_csv() -> None:
    async with calling() as org:
        body = {"object": "DocListEntry__c", "operation": "update"}
        path = "/" + (await org.call("POST", "/jobs/ingest", json=body)).json["contentUrl"]
        as_json = await org.call("PUT", path, json={})
        first = await org.call("PUT", path, data=b"Id\n", headers=CSV)
        second = await org.call("PUT", path, data=b"Id\n", headers=CSV)

        assert [as_json.status, first.status, second.status] == [415, 201, 400]


async def test_a_job_can_be_stuck_and_can_fail_half_way() -> None:
    async with calling() as org:
        ids = org.load(5)
        await org.faults(
            {"kind": "bulk_stuck", "count": 2},
            {"kind": "bulk_failed", "endpoint": "ingest_info", "params": {"rows": 2, "message": "InternalServerError"}},
        )
        job = await ingest_job(org, "Id,Identifier__c\n" + "".join(f"{row_id},x\n" for row_id in ids))
        stuck = job["state"]
        for _ in range(2):
            job = (await org.call("GET", f"/jobs/ingest/{job['id']}")).json
        left = await org.call("GET", f"/jobs/ingest/{job['id']}/unprocessedrecords")

        assert stuck == "UploadComplete"
        assert (job["state"], job["errorMessage"]) == ("Failed", "InternalServerError")
        assert job["numberRecordsProcessed"] == 2
        assert sorted(row[0] for row in rows(left)[1:]) == ids[2:]
        assert len(await org.names("WHERE Identifier__c = 'x'")) == 2


async def closed_job(org: Caller, ids: list[str]) -> str:
    body = {"object": "DocListEntry__c", "operation": "update"}
    job: str = (await org.call("POST", "/jobs/ingest", json=body)).json["id"]
    text = "Id,Identifier__c\n" + "".join(f"{row_id},x\n" for row_id in ids)
    await org.call("PUT", f"/jobs/ingest/{job}/batches", data=text.encode(), headers=CSV)
    await org.call("PATCH", f"/jobs/ingest/{job}", json={"state": "UploadComplete"})
    return job


async def test_a_job_can_go_on_by_itself_whether_or_not_anybody_asks() -> None:
    async with calling() as org:
        ids = org.load(1_000)
        await org.sim("POST", "settings", json={"bulk_rows_per_s": 100, "bulk_queue_s": 3})
        job = await closed_job(org, ids)
        arrived = [entry.arrived for entry in org.server.org.log if entry.name == "ingest_change"]

        async def done() -> int:
            await org.sim("GET", "clock")
            return sum(len(rows) for rows in org.server.org.jobs.of_kind("ingest")[0].results.values())

        seen = [await done()]
        for pause in (2.9, 3.0, 2.0, 100.0):
            await org.clock.sleep(pause)
            seen.append(await done())
        told = (await org.call("GET", f"/jobs/ingest/{job}")).json
        work = [entry for entry in org.server.org.log if entry.name == "ingest_work"]

        assert seen == [0, 0, 200, 400, 1_000]
        assert (told["state"], told["numberRecordsProcessed"]) == ("JobComplete", 1_000)
        assert {entry.arrived for entry in work} == set(arrived)
        assert sorted(" ".join(entry.ids_written for entry in work).split()) == ids


async def test_an_administrator_can_abort_and_what_was_done_stays() -> None:
    async with calling() as org:
        ids = org.load(500)
        await org.sim("POST", "settings", json={"bulk_rows_per_poll": 200, "bulk_polls_until_done": 1})
        await org.faults({"kind": "bulk_aborted", "endpoint": "ingest_info", "nth": 2})
        job = await closed_job(org, ids)
        states = [(await org.call("GET", f"/jobs/ingest/{job}")).json for _ in range(3)]
        good = await org.call("GET", f"/jobs/ingest/{job}/successfulResults")
        left = await org.call("GET", f"/jobs/ingest/{job}/unprocessedrecords")

        assert [state["state"] for state in states] == ["InProgress", "Aborted", "Aborted"]
        assert [len(rows(answer)) - 1 for answer in (good, left)] == [200, 300]


async def test_lists_can_lack_rows_and_any_call_can_be_refused() -> None:
    async with calling() as org:
        ids = org.load(10)
        await org.faults(
            {"kind": "bulk_unrecorded", "params": {"every": 5}},
            {"kind": "refused", "endpoint": "ingest_list", "params": {"status": 403, "code": "NOPE", "message": "no"}},
        )
        job = await ingest_job(org, "Id,Identifier__c\n" + "".join(f"{row_id},x\n" for row_id in ids))
        good = await org.call("GET", f"/jobs/ingest/{job['id']}/successfulResults")
        refused = await org.call("GET", "/jobs/ingest")

        assert (job["numberRecordsProcessed"], len(rows(good)) - 1) == (10, 8)
        assert (refused.status, refused.code, refused.message) == (403, "NOPE", "no")
