"""The session: one login for all, renewed once, never in a loop; limits heeded on every answer."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from engine.limiting.tls import trusting
from engine.model.errors import Blocked, Paused, Refused, Transient, Usage
from engine.model.record import Scope
from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings
from engine.salesforce.auth import Session
from engine.salesforce.connection import Salesforce, open_salesforce
from engine.salesforce.faults import from_answer
from engine.salesforce.http import LONGEST_ANSWER, LONGEST_REFUSAL, Answer, Http, open_http
from engine.salesforce.limits import DailyCalls, limits_in
from engine.salesforce.session import SalesforceSession
from engine.settings import NetworkSettings, SalesforceSettings
from tests.support.fakes.files import no_more_files
from tests.support.org import OBJECT, QuickClock, Scripted, asked, connected, fault, load, settings_for
from tests.support.servers.salesforce import Reply, ScriptedServer, Seen, problem, rows, token_reply


async def count(salesforce: Salesforce) -> int:
    return await salesforce.pages.count(Scope())


async def test_all_requests_share_one_login(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock) as salesforce:
        assert await asyncio.gather(*(count(salesforce) for _ in range(20))) == [0] * 20
    assert asked(org, "token") == 1


async def test_a_session_that_ends_is_renewed_once_for_all_requests_in_flight(org: Server, clock: QuickClock) -> None:
    load(org, 3)
    async with connected(org, clock) as salesforce:
        await count(salesforce)
        org.org.sessions.revoke()
        assert await asyncio.gather(*(count(salesforce) for _ in range(30))) == [3] * 30
    assert asked(org, "token") == 2


async def test_a_late_401_of_an_older_token_renews_nothing(clock: QuickClock) -> None:
    """The token counts that a request was sent with, not the one at the time of its 401."""
    minted = 0
    late = asyncio.Event()

    async def login() -> Session:
        nonlocal minted
        minted += 1
        return Session(f"token{minted}", "http://org.test")

    class SlowFirst(Http):
        async def send(self, method: str, url: str, *, headers: Any, body: Any = None) -> Answer:
            old = headers["Authorization"] == "Bearer token1"
            if url.endswith("late"):
                if old:
                    await late.wait()
            elif url.endswith("early") and minted == 1:
                return await reply(200, b"{}")
            if old:
                return await reply(401, b'[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]')
            return await reply(200, b'{"ok":true}')

    async def reply(status: int, body: bytes) -> Answer:
        await asyncio.sleep(0)
        return Answer(status, _no_headers(), body)

    async with open_http(NetworkSettings()) as http:
        session = SalesforceSession(SlowFirst(http._client), login, clock, api_version="62.0")
        await session.get_json("early", doing="ask")
        straggler = asyncio.create_task(session.get_json("late", doing="ask"))
        await asyncio.sleep(0)
        assert await session.get_json("prompt", doing="ask") == {"ok": True}
        late.set()
        assert await straggler == {"ok": True}
    assert minted == 2


async def test_a_401_that_no_login_cures_blocks_at_once(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock) as salesforce:
        await count(salesforce)
        fault(org, {"kind": "uncurable_401", "endpoint": "query"})
        with pytest.raises(Blocked, match="not valid for use with the REST API"):
            await count(salesforce)
    assert asked(org, "token") == 1


async def test_a_token_refused_right_after_it_was_minted_blocks_instead_of_looping(scripted: Scripted) -> None:
    async with scripted(lambda seen: problem("INVALID_SESSION_ID", "Session expired", 401)) as (salesforce, server):
        with pytest.raises(Blocked, match="just given"):
            await count(salesforce)
        assert len(server.seen) == 2


async def test_a_renewed_token_that_is_refused_too_blocks_instead_of_looping(scripted: Scripted) -> None:
    answers = [Reply({"totalSize": 0, "done": True, "records": []})]

    def script(seen: Seen) -> Reply:
        return answers.pop() if answers else problem("INVALID_SESSION_ID", "Session expired or invalid", 401)

    async with scripted(script) as (salesforce, server):
        await count(salesforce)
        with pytest.raises(Blocked, match="just given"):
            await count(salesforce)
        assert [seen.path for seen in server.seen].count("/services/oauth2/token") == 3
        assert len(server.seen) == 7


async def test_a_session_may_end_again_before_it_was_used(scripted: Scripted) -> None:
    expired = problem("INVALID_SESSION_ID", "Session expired or invalid", 401)
    answers = [rows(total=7), expired, expired, rows(total=7)]
    async with scripted(lambda seen: answers.pop(0)) as (salesforce, server):
        assert [await count(salesforce), await count(salesforce)] == [7, 7]
        assert [seen.path for seen in server.seen].count("/services/oauth2/token") == 3


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"{}", b"[]", b'"x"', b"[1]"])
async def test_a_401_in_any_shape_is_understood(body: bytes, scripted: Scripted) -> None:
    first = [rows(total=7), Reply(body, 401), rows(total=7)]

    def script(seen: Seen) -> Reply:
        return first.pop(0)

    async with scripted(script) as (salesforce, server):
        await count(salesforce)
        assert await count(salesforce) == 7
        assert len(server.seen) == 5


async def test_a_refused_renewal_is_not_tried_again_by_the_others(org: Server, clock: QuickClock) -> None:
    """Bad logins in a row would lock the user out."""
    async with connected(org, clock) as salesforce:
        await count(salesforce)
        org.org.sessions.revoke()
        fault(org, {"kind": "refresh_fails", "endpoint": "token"})
        results = await asyncio.gather(*(count(salesforce) for _ in range(12)), return_exceptions=True)
    assert all(isinstance(result, Blocked) for result in results)
    assert asked(org, "token") == 2


async def test_after_a_renewal_requests_go_to_the_instance_it_names(org: Server, clock: QuickClock) -> None:
    async with SalesforceStandIn(StandInSettings()).serve() as moved:
        moved.org.sessions = org.org.sessions
        load(moved, 5)
        async with connected(org, clock) as salesforce:
            assert await count(salesforce) == 0
            org.org.sessions.revoke()
            fault(org, {"kind": "new_instance_url", "endpoint": "token", "params": {"url": moved.url}})
            assert await count(salesforce) == 5


async def test_login_and_instance_may_be_different_hosts(clock: QuickClock) -> None:
    async with SalesforceStandIn(StandInSettings(separate_login=True)).serve() as org:
        secrets = {"auth": "refresh_token", "refresh_token": "5Aep861rehearsalrefreshtoken"}
        async with connected(org, clock, **secrets) as salesforce:
            assert await count(salesforce) == 0
            assert org.login_url != org.url


async def test_usage_is_read_from_every_answer_errors_too(scripted: Scripted) -> None:
    header = {"Sforce-Limit-Info": "api-usage=25/5000; per-app-api-usage=17/20(appName=x)"}
    async with scripted(lambda seen: Reply([{"errorCode": "INVALID_FIELD", "message": "no"}], 400, headers=header)) as (
        salesforce,
        _,
    ):
        with pytest.raises(Blocked):
            await count(salesforce)
        assert salesforce.limits == DailyCalls(25, 5000)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("api-usage=18/5000", DailyCalls(18, 5000)),
        ("per-app-api-usage=17/250(appName=x); api-usage=25/5000", DailyCalls(25, 5000)),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("", None),
        (None, None),
    ],
)
def test_the_usage_header_is_read_leniently(header: str | None, expected: DailyCalls | None) -> None:
    assert limits_in(header) == expected


async def test_the_answer_that_reaches_the_budget_is_kept_and_the_next_request_is_not_sent(clock: QuickClock) -> None:
    async with SalesforceStandIn(StandInSettings(daily_max=10)).serve() as org:
        async with connected(org, clock, api_budget=0.5) as salesforce:
            for _ in range(5):
                await count(salesforce)
            with pytest.raises(Paused, match="5 of its 10"):
                await count(salesforce)
        assert asked(org, "query") == 5


async def test_calls_under_way_count_against_the_budget_before_their_answers_tell(clock: QuickClock) -> None:
    """However many are sent at once, the org's own count never passes the share we may use."""
    async with SalesforceStandIn(StandInSettings(daily_max=40, latency_ms={"query": (0, 20)})).serve() as org:
        async with connected(org, clock, api_budget=0.5) as salesforce:
            await count(salesforce)
            done = await asyncio.gather(*(many(salesforce, 10) for _ in range(8)), return_exceptions=True)
        assert {type(each) for each in done} == {Paused}
        assert 20 - 8 <= org.org.usage.used() <= 20


async def many(salesforce: Salesforce, times: int) -> None:
    for _ in range(times):
        await count(salesforce)


async def test_answers_that_arrive_in_another_order_do_not_turn_the_usage_back(scripted: Scripted) -> None:
    """The first request's answer comes last, and tells what was so before the second."""
    asked_first, answered = asyncio.Event(), asyncio.Event()

    class FirstComesLast(Http):
        async def send(self, method: str, url: str, *, headers: Any, body: Any = None) -> Answer:
            late = not asked_first.is_set()
            asked_first.set()
            if late:
                await answered.wait()
            told = {"Sforce-Limit-Info": f"api-usage={3 if late else 9}/100"}
            return Answer(200, CIMultiDictProxy(CIMultiDict(told)), b"{}")

    async def login() -> Session:
        return Session("token", "http://org.test")

    async with open_http(NetworkSettings()) as http:
        session = SalesforceSession(FirstComesLast(http._client), login, QuickClock(), api_version="62.0")
        first = asyncio.create_task(session.get_json("first", doing="ask"))
        await asked_first.wait()
        await session.get_json("second", doing="ask")
        answered.set()
        await first
    assert session.limits == DailyCalls(9, 100)


async def test_how_often_the_org_asked_for_patience_is_known(org: Server, clock: QuickClock) -> None:
    fault(org, {"kind": "concurrent_limit", "endpoint": "query", "count": 2}, {"kind": "502_html", "nth": 3})
    async with connected(org, clock) as salesforce:
        await count(salesforce)
        assert salesforce.session.limiter.refusals == 2


def test_an_allowance_of_zero_divides_nothing() -> None:
    DailyCalls(3, 0).check(0.5)
    with pytest.raises(Paused):
        DailyCalls(12, 10).check(1.0)


async def test_an_exhausted_org_pauses_the_run_without_retries(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock) as salesforce:
        fault(org, {"kind": "daily_limit", "endpoint": "query"})
        with pytest.raises(Paused, match="TotalRequests"):
            await count(salesforce)
    assert asked(org, "query") == 1
    assert clock.slept == []


async def test_too_many_long_calls_are_waited_out(org: Server, clock: QuickClock) -> None:
    fault(org, {"kind": "concurrent_limit", "endpoint": "query", "count": 2})
    async with connected(org, clock) as salesforce:
        assert await count(salesforce) == 0
    assert min(clock.slept) >= 5.0


async def test_the_servers_own_wish_to_wait_is_granted(org: Server, clock: QuickClock) -> None:
    fault(org, {"kind": "503_html", "endpoint": "query", "count": 1, "params": {"retry_after": 17}})
    async with connected(org, clock) as salesforce:
        await count(salesforce)
    assert clock.slept == [17.0]


async def test_writes_are_sent_once_and_leave_the_doubt_to_the_caller(org: Server, clock: QuickClock) -> None:
    record = load(org, 1)[0]
    fault(org, {"kind": "commit_then_503", "endpoint": "record_update"})
    async with connected(org, clock) as salesforce:
        with pytest.raises(Transient):
            await salesforce.session.patch_json(
                f"sobjects/{OBJECT}/{record}", {"Document__c": "https://x/y"}, doing="t"
            )
    assert asked(org, "record_update") == 1


async def test_a_write_whose_session_ended_is_sent_again_since_it_did_not_happen(
    org: Server, clock: QuickClock
) -> None:
    record = load(org, 1)[0]
    async with connected(org, clock) as salesforce:
        await count(salesforce)
        org.org.sessions.revoke()
        path = f"sobjects/{OBJECT}/{record}"
        assert await salesforce.session.patch_json(path, {"Document__c": "https://x/y"}, doing="t") is None
    assert org.world.record(record)["Document__c"] == "https://x/y"


async def test_a_deleted_record_refuses_a_write_for_that_record_only(org: Server, clock: QuickClock) -> None:
    record = load(org, 1)[0]
    org.world.set_deleted([record], deleted=True)
    async with connected(org, clock) as salesforce:
        with pytest.raises(Refused):
            await salesforce.session.patch_json(
                f"sobjects/{OBJECT}/{record}", {"Document__c": "https://x/y"}, doing="t"
            )


async def test_a_post_that_reads_may_be_tried_again(org: Server, clock: QuickClock) -> None:
    record = load(org, 1)[0]
    fault(org, {"kind": "503_json", "endpoint": "collections_retrieve", "count": 1})
    async with connected(org, clock) as salesforce:
        body = {"ids": [record], "fields": ["Id", "Document__c"]}
        answer = await salesforce.session.post_json(f"composite/sobjects/{OBJECT}", body, doing="re-read", attempts=3)
    assert [row["Document__c"] for row in answer] == ["https://files.test/0.pdf"]


async def test_the_servers_clock_is_used_for_watermarks(scripted: Scripted) -> None:
    def script(seen: Seen) -> Reply:
        return Reply([{"version": "62.0"}], headers={"Date": "Sun, 22 Nov 2026 08:00:01 GMT"})

    async with scripted(script) as (salesforce, _):
        assert (await salesforce.server_now()).isoformat() == "2026-11-22T08:00:01+00:00"


async def test_a_request_too_long_for_the_org_is_not_sent(scripted: Scripted) -> None:
    async with scripted(lambda seen: Reply({})) as (salesforce, server):
        with pytest.raises(Usage, match="too long") as caught:
            await salesforce.session.get_json("query", query={"q": "x" * 13_000}, doing="query")
        assert server.seen == []
    assert "salesforce.where" in caught.value.hint


async def test_an_org_that_has_moved_is_followed_by_one_fresh_login(scripted: Scripted) -> None:
    """The old host redirects; only a login says where the org lives, and whether to believe it."""
    async with ScriptedServer(lambda seen: rows(total=5)).serve() as new:
        old: list[Reply] = [rows(total=3), Reply(None, 301, headers={"Location": f"{new.url}/services/data/"})]
        homes = [new.url]

        def script(seen: Seen) -> Reply:
            if seen.path == "/services/oauth2/token":
                return token_reply(homes.pop() if len(server.seen) > 1 else server.url)
            return old.pop(0)

        async with ScriptedServer(script).serve() as server:
            settings = SalesforceSettings(login_url=server.url, client_id="app", client_secret="s3cret")
            async with open_salesforce(settings, NetworkSettings(), QuickClock()) as salesforce:
                assert [await count(salesforce), await count(salesforce)] == [3, 5]
            assert len(server.seen) == 4
        assert len(new.seen) == 1


@pytest.mark.parametrize("status", [301, 307])
async def test_a_redirect_that_a_fresh_login_does_not_end_blocks(status: int, scripted: Scripted) -> None:
    answers = [rows(total=3)]
    moved = Reply(None, status, headers={"Location": "https://elsewhere.test/x"})
    async with scripted(lambda seen: answers.pop() if answers else moved) as (salesforce, server):
        await count(salesforce)
        with pytest.raises(Blocked, match=str(status)):
            await count(salesforce)
        assert [seen.path for seen in server.seen].count("/services/oauth2/token") == 2


async def test_the_token_stands_in_the_header_and_nowhere_else(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock) as salesforce:
        session = await salesforce.session.login()
        await count(salesforce)
        assert session.token not in repr(session)
    assert all(session.token not in entry.path + entry.query for entry in org.org.log)


async def test_a_redirect_is_not_followed(scripted: Scripted) -> None:
    async with ScriptedServer(lambda seen: rows(total=1)).serve() as elsewhere:
        redirect = Reply(None, 302, headers={"Location": f"{elsewhere.url}/x?sid=secret"})
        async with scripted(lambda seen: redirect) as (salesforce, _):
            with pytest.raises(Blocked) as caught:
                await count(salesforce)
        assert elsewhere.url in caught.value.hint
        assert "secret" not in caught.value.hint
        assert elsewhere.seen == []


async def test_the_proxy_of_the_settings_carries_every_request(org: Server, clock: QuickClock) -> None:
    def proxy_script(seen: Seen) -> Reply:
        return token_reply(org.url) if seen.path.endswith("/token") else rows(total=42)

    async with ScriptedServer(proxy_script).serve() as proxy:
        network = NetworkSettings(proxy=proxy.url)
        async with open_salesforce(settings_for(org), network, clock) as salesforce:
            assert await count(salesforce) == 42
        assert len(proxy.seen) == 2
        assert proxy.seen[0].headers["Host"] == org.url.removeprefix("http://")
    assert len(org.org.log) == 0


async def test_a_proxy_that_is_not_there_is_named_as_the_trouble(org: Server, clock: QuickClock) -> None:
    network = NetworkSettings(proxy="http://127.0.0.1:9")
    async with open_salesforce(settings_for(org), network, clock) as salesforce:
        with pytest.raises(Blocked, match="proxy"):
            await count(salesforce)


async def test_an_answer_that_unpacks_without_end_is_cut_off(scripted: Scripted) -> None:
    bomb = gzip.compress(b" " * (LONGEST_ANSWER + 1_000_000), compresslevel=1)
    async with scripted(lambda seen: Reply(bomb, headers={"Content-Encoding": "gzip"})) as (salesforce, _):
        with pytest.raises(Transient, match="64 MiB"):
            await salesforce.session.post_json("x", {}, doing="test")


async def test_a_burst_of_401s_renews_the_login_once(org: Server, clock: QuickClock) -> None:
    load(org, 3)
    async with connected(org, clock) as salesforce:
        await count(salesforce)
        fault(org, {"kind": "burst_401", "endpoint": "query", "nth": 4})
        assert await asyncio.gather(*(count(salesforce) for _ in range(24))) == [3] * 24
    assert asked(org, "token") == 2


async def test_proxies_of_the_environment_are_ignored(
    org: Server, clock: QuickClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with connected(org, clock) as salesforce:
        assert await count(salesforce) == 0


async def test_a_private_certificate_is_trusted_only_when_named(tmp_path: Path, clock: QuickClock) -> None:
    certificate, key = _self_signed(tmp_path)
    async with SalesforceStandIn(StandInSettings(tls_cert=certificate, tls_key=key)).serve() as org:
        async with open_salesforce(settings_for(org), NetworkSettings(ca_file=certificate), clock) as salesforce:
            assert await count(salesforce) == 0
        async with open_salesforce(settings_for(org), NetworkSettings(), clock) as salesforce:
            with pytest.raises(Blocked, match="certificate") as caught:
                await count(salesforce)
        assert "network.ca_file" in caught.value.hint


def test_an_unreadable_ca_file_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "absent.pem", tmp_path / "ca.pem"):
        with pytest.raises(Usage, match="ca_file"):
            trusting(NetworkSettings(ca_file=path).ca_file)
    assert trusting(NetworkSettings().ca_file).verify_mode is ssl.CERT_REQUIRED


async def test_an_org_that_cannot_be_reached_is_told_before_anything_happens(clock: QuickClock) -> None:
    settings = SalesforceSettings(login_url="http://127.0.0.1:9", client_id="a", client_secret="b")
    async with open_salesforce(settings, NetworkSettings(), clock) as salesforce:
        with pytest.raises(Blocked, match=r"127\.0\.0\.1"):
            await count(salesforce)


def _no_headers() -> Any:
    from multidict import CIMultiDict, CIMultiDictProxy

    return CIMultiDictProxy(CIMultiDict[str]())


def _self_signed(folder: Path) -> tuple[Path, Path]:
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b"<p>" * 3_000_000, b'[{"errorCode":"A","message":"' + b"&=" * 2_000_000]
)
async def test_of_a_refusal_only_the_beginning_is_read(clock: QuickClock, body: bytes) -> None:
    server = ScriptedServer(lambda seen: Reply(body, 400, "text/html"))
    async with server.serve(), open_http(NetworkSettings()) as http:
        answer = await http.send("GET", server.url, headers={})
    assert answer.body == body[:LONGEST_REFUSAL]
    error = from_answer(answer.status, answer.headers, answer.body)
    assert isinstance(error, Blocked)
    assert "with a page that is not an API answer" in str(error)


async def test_where_no_more_files_may_be_opened_salesforce_is_asked_again(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock) as salesforce:
        with no_more_files(), pytest.raises(Paused, match="open files"):
            await salesforce.session.login()
    assert len(clock.slept) > 1
