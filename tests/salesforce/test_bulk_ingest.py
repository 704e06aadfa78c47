"""Bulk ingest jobs: what is sent, what each answer means, and what is never taken for more than it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from engine.model.bulk import JobState
from engine.model.change import Said, Sent
from engine.model.errors import Blocked, Paused, Transient
from engine.model.failures import FailureClass
from engine.rehearsal.salesforce import Server
from engine.salesforce.connection import Salesforce
from tests.salesforce.conftest import OBJECT, QuickClock, Scripted, asked, connected, fault, load
from tests.salesforce.scripted import Reply, Seen, problem

JOB = "750000000000001AAA"
ROWS = ["a0X000000000001EAA", "a0X000000000002EAA"]


async def closed(salesforce: Salesforce, changes: Sequence[tuple[str, str]]) -> str:
    job = await salesforce.bulk.create()
    await salesforce.bulk.upload(job, changes)
    await salesforce.bulk.close(job)
    return job


async def test_a_job_from_its_making_to_its_results(org: Server, clock: QuickClock) -> None:
    ids = load(org, 4)
    org.world.set_deleted([ids[3]], deleted=True)
    org.org.read_only_ids = {ids[2]}
    changes = [(record, f'https://old.test/{n},"ü"\n.pdf') for n, record in enumerate(ids)]
    async with connected(org, clock) as salesforce:
        bulk = salesforce.bulk
        job = await bulk.create()
        assert (await bulk.progress(job)).state is JobState.OPEN
        await bulk.upload(job, changes)
        assert (await bulk.progress(job)).state is JobState.OPEN
        assert org.world.record(ids[0])["Document__c"] == "https://files.test/0.pdf"  # type: ignore[index]
        await bulk.close(job)
        states = [await bulk.progress(job) for _ in range(2)]
        said = await bulk.results(job)
    assert [each.state for each in states] == [JobState.WORKING, JobState.COMPLETE]
    assert states[-1].processed == 4
    assert org.world.record(ids[0])["Document__c"] == changes[0][1]  # type: ignore[index]
    assert [said[record].sent for record in ids] == [Sent.DONE, Sent.DONE, Sent.REFUSED, Sent.REFUSED]
    assert [said[record].failure for record in ids[2:]] == [FailureClass.REJECTED, FailureClass.DELETED]
    assert said[ids[3]].message == "ENTITY_IS_DELETED: entity is deleted"


async def test_a_large_upload_arrives_whole(org: Server, clock: QuickClock) -> None:
    ids = load(org, 10_000, Name="x")
    changes = [(record, f"https://old.test/{'y' * 150}/{n}") for n, record in enumerate(ids)]
    async with connected(org, clock) as salesforce:
        job = await closed(salesforce, changes)
        while not (now := await salesforce.bulk.progress(job)).state.over:
            pass
        said = await salesforce.bulk.results(job)
    assert now.processed == 10_000
    assert {each.sent for each in said.values()} == {Sent.DONE}
    assert next(entry.bytes_in for entry in org.org.log if entry.name == "ingest_upload") > 1_500_000


async def test_a_deleted_job_is_a_state_and_no_error(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock) as salesforce:
        job = await salesforce.bulk.create()
        await salesforce.bulk.abort(job)
        with pytest.raises(Blocked):
            await salesforce.bulk.abort(job)
        assert (await salesforce.bulk.progress(job)).state is JobState.ABORTED
        assert (await salesforce.bulk.progress("750000000000009AAA")).state is JobState.DELETED


@pytest.mark.parametrize("kind", ["commit_then_cut", "commit_then_503", "truncated_json", "html_200", "reset"])
async def test_no_verb_is_sent_twice_by_us(org: Server, clock: QuickClock, kind: str) -> None:
    async with connected(org, clock) as salesforce:
        fault(org, {"kind": kind, "endpoint": "ingest_create"})
        with pytest.raises(Transient):
            await salesforce.bulk.create()
        assert asked(org, "ingest_create") == 1
        fault(org)
        job = await salesforce.bulk.create()
        fault(org, {"kind": kind, "endpoint": "ingest_change"})
        with pytest.raises(Transient):
            await salesforce.bulk.close(job)
        assert asked(org, "ingest_change") == 1


async def test_a_session_that_ends_is_renewed_under_every_verb(org: Server, clock: QuickClock) -> None:
    ids = load(org, 2)
    async with connected(org, clock) as salesforce:
        await salesforce.links.read(ids)
        names = ("ingest_create", "ingest_upload", "ingest_change", "ingest_info", "ingest_results")
        fault(org, *({"kind": "session_expired", "endpoint": name, "nth": 1} for name in names))
        job = await closed(salesforce, [(record, "https://old.test/") for record in ids])
        while not (await salesforce.bulk.progress(job)).state.over:
            pass
        said = await salesforce.bulk.results(job)
    assert said == {record: Said(Sent.DONE) for record in ids}


async def test_a_page_in_place_of_an_upload_is_no_upload(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock) as salesforce:
        job = await salesforce.bulk.create()
        fault(org, {"kind": "html_200", "endpoint": "ingest_upload"})
        with pytest.raises(Transient):
            await salesforce.bulk.upload(job, [(ROWS[0], "x")])


async def test_what_the_job_asks_for(scripted: Scripted) -> None:
    def script(seen: Seen) -> Reply:
        return Reply(None, 201) if seen.method == "PUT" else Reply({"id": JOB, "state": "Open"})

    async with scripted(script) as (salesforce, server):
        assert await salesforce.bulk.create() == JOB
        await salesforce.bulk.upload(JOB, [(ROWS[0], "https://a.test/")])
    made, sent = server.seen[-2:]
    assert (made.method, made.path) == ("POST", "/services/data/v62.0/jobs/ingest")
    assert b'"operation":"update"' in made.body
    assert f'"object":"{OBJECT}"'.encode() in made.body
    assert b'"lineEnding":"LF"' in made.body
    assert (sent.method, sent.path) == ("PUT", f"/services/data/v62.0/jobs/ingest/{JOB}/batches")
    assert sent.headers["Content-Type"].startswith("text/csv")
    assert sent.body == f'"Id","Document__c"\n"{ROWS[0]}","https://a.test/"\n'.encode()


@pytest.mark.parametrize(
    "body",
    [{}, [], None, "x", {"id": JOB}, {"state": "Open"}, {"id": "../x", "state": "Open"}, {"id": JOB, "state": 1}],
)
async def test_an_odd_answer_is_no_job(scripted: Scripted, body: Any) -> None:
    async with scripted(lambda _seen: Reply(body)) as (salesforce, _):
        with pytest.raises(Transient):
            await salesforce.bulk.create()


@pytest.mark.parametrize("body", [{}, [], {"id": JOB, "state": "New"}, {"id": JOB[:-1] + "B", "state": "JobComplete"}])
async def test_an_odd_answer_is_no_progress(scripted: Scripted, body: Any) -> None:
    async with scripted(lambda _seen: Reply(body)) as (salesforce, _):
        with pytest.raises(Transient):
            await salesforce.bulk.progress(JOB)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem("EXCEEDEDQUOTA", "ApiBatchItems Limit exceeded."), Blocked),
        (problem("FUNCTIONALITY_NOT_ENABLED", "no", 403), Blocked),
        (problem("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403), Paused),
        (problem("SERVER_UNAVAILABLE", "busy", 503), Transient),
        (problem("REQUEST_RUNNING_TOO_LONG", "slow"), Transient),
    ],
)
async def test_what_a_refusal_means(scripted: Scripted, answer: Reply, error: type[Exception]) -> None:
    async with scripted(lambda _seen: answer) as (salesforce, _):
        for verb in (salesforce.bulk.create(), salesforce.bulk.close(JOB), salesforce.bulk.upload(JOB, [("a", "b")])):
            with pytest.raises(error):
                await verb


def lists(good: str, bad: str) -> Any:
    def script(seen: Seen) -> Reply:
        text = good if seen.path.endswith("successfulResults") else bad
        return Reply(text.encode(), content_type="text/csv;charset=UTF-8")

    return script


GOOD = f'"sf__Id","sf__Created","Id","Document__c"\n"{ROWS[0]}","false","{ROWS[0]}","x"\n'
BAD = '"sf__Id","sf__Error","Id","Document__c"\n'


@pytest.mark.parametrize(
    ("error", "sent", "failure", "message"),
    [
        ("UNABLE_TO_LOCK_ROW:unable: 1 records: a01:--", Sent.AGAIN, FailureClass.THROTTLED, "unable: 1 records: a01"),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION:No, ever:Document__c --", Sent.REFUSED, FailureClass.REJECTED, "No, ever"),
        ("ENTITY_IS_DELETED:entity is deleted:--", Sent.REFUSED, FailureClass.DELETED, "entity is deleted"),
        ("STRING_TOO_LONG:Link: too large:Document__c --", Sent.REFUSED, FailureClass.URL_TOO_LONG, "Link: too large"),
        ("CANNOT_EXECUTE_FLOW_TRIGGER:flow:--", Sent.APART, FailureClass.REJECTED, "flow"),
        ("INVALID_FIELD_FOR_INSERT_UPDATE:no:Document__c --", Sent.STOP, FailureClass.REJECTED, "no"),
        ("NOBODY_KNOWS", Sent.REFUSED, FailureClass.REJECTED, "no reason given"),
        ("CODE:a message without its end", Sent.REFUSED, FailureClass.REJECTED, "a message without its end"),
        ("", Sent.REFUSED, FailureClass.REJECTED, "no reason given"),
    ],
)
async def test_what_a_failed_row_means(
    scripted: Scripted, error: str, sent: Sent, failure: FailureClass, message: str
) -> None:
    bad = f'{BAD}"","{error}","{ROWS[1][:15]}","x"\n'
    async with scripted(lists(GOOD, bad)) as (salesforce, _):
        said = await salesforce.bulk.results(JOB)
    assert said[ROWS[0]] == Said(Sent.DONE)
    assert (said[ROWS[1]].sent, said[ROWS[1]].failure) == (sent, failure)
    assert said[ROWS[1]].message.endswith(message)


async def test_a_row_on_both_lists_is_in_doubt_and_one_without_an_id_says_nothing(scripted: Scripted) -> None:
    bad = f'{BAD}"{ROWS[0]}","X:y:--","{ROWS[0]}","x"\n"","X:y:--","","x"\n"","X:y:--","nonsense","x"\n'
    async with scripted(lists(GOOD, bad)) as (salesforce, _):
        assert await salesforce.bulk.results(JOB) == {ROWS[0]: Said(Sent.UNKNOWN)}


@pytest.mark.parametrize("text", ["", '"sf__Id","Id"\n"1","2', "<html>"])
async def test_a_list_that_was_cut_or_is_none(scripted: Scripted, text: str) -> None:
    async with scripted(lists(text, BAD)) as (salesforce, _):
        if text == "<html>":
            assert await salesforce.bulk.results(JOB) == {}
        else:
            with pytest.raises(Transient):
                await salesforce.bulk.results(JOB)
