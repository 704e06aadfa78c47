"""Logging in: every way, what each refusal tells the person, and what never gets out."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.model.errors import Blocked, Fatal, Paused, Usage
from engine.model.record import Scope
from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings
from engine.salesforce.assertion import assertion, audience
from engine.salesforce.auth import trusted_instance
from engine.salesforce.connection import open_salesforce
from engine.settings import NetworkSettings, SalesforceSettings
from tests.support.org import QuickClock, asked, connected, fault
from tests.support.servers.salesforce import Reply, ScriptedServer, Seen, problem, token_reply


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


async def login_of(server: ScriptedServer, clock: QuickClock, **settings: Any) -> Any:
    base = {"login_url": server.url, "client_id": "app", "client_secret": "s3cret"}
    async with open_salesforce(SalesforceSettings(**{**base, **settings}), NetworkSettings(), clock) as salesforce:
        return await salesforce.session.login()


@pytest.mark.parametrize(
    "secrets",
    [
        {"auth": "client_credentials"},
        {"auth": "refresh_token", "refresh_token": "5Aep861rehearsalrefreshtoken"},
        {"auth": "refresh_token", "refresh_token": "5Aep861rehearsalrefreshtoken", "client_secret": None},
        {
            "auth": "password",
            "username": "operator@example.test",
            "password": "rehearsal-password",
            "security_token": "rehearsal-token",
        },
    ],
    ids=lambda secrets: f"{secrets['auth']}-{len(secrets)}",
)
async def test_each_flow_logs_in_and_knows_its_org(secrets: dict[str, Any], org: Server, clock: QuickClock) -> None:
    async with connected(org, clock, **secrets) as salesforce:
        assert (await salesforce.session.login()).org_id == org.org.org_id
        assert (await salesforce.organization()).name == "Rehearsal Org"


async def test_jwt_logs_in_with_an_assertion_that_ends_in_three_minutes(
    key_pair: tuple[str, str], tmp_path: Path, clock: QuickClock
) -> None:
    private, public = key_pair
    (tmp_path / "key.pem").write_text(private)
    stand_in = StandInSettings(jwt_public_key=public, jwt_audiences=("https://test.salesforce.com",))
    secrets = {"auth": "jwt", "username": "operator@example.test", "jwt_key_file": tmp_path / "key.pem"}
    async with SalesforceStandIn(stand_in, clock=clock).serve() as org:
        async with connected(org, clock, audience="https://test.salesforce.com", **secrets) as salesforce:
            assert (await salesforce.organization()).is_sandbox
        async with connected(org, clock, **secrets) as salesforce:
            with pytest.raises(Blocked, match="Audience") as caught:
                await salesforce.session.login()
        assert "salesforce.audience" in caught.value.hint
    settings = SalesforceSettings(client_id="app", login_url="https://x.sandbox.my.salesforce.com", **secrets)
    signed = await assertion(settings, datetime(2026, 1, 1, tzinfo=UTC))
    claims = jwt.decode(signed, public, ["RS256"], options={"verify_exp": False, "verify_aud": False})
    assert claims == {
        "iss": "app",
        "sub": "operator@example.test",
        "aud": "https://test.salesforce.com",
        "exp": int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) + 180,
    }


@pytest.mark.parametrize(
    ("login_url", "expected"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
        ("https://acme.my.site.com/portal", "https://acme.my.site.com/portal"),
    ],
)
def test_the_audience_follows_the_login_url(login_url: str, expected: str) -> None:
    assert audience(login_url) == expected


async def test_jwt_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    settings = SalesforceSettings(auth="jwt", client_id="a", username="u", jwt_key_file=tmp_path / "k")
    with pytest.raises(Blocked) as caught:
        await assertion(settings, datetime.now(UTC))
    assert caught.value.hint == "pip install 'engine[jwt]'"


@pytest.mark.parametrize("content", [None, "", "not a key", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"])
async def test_a_key_file_that_holds_no_key_is_a_settings_error(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_text(content)
    settings = SalesforceSettings(auth="jwt", client_id="a", username="u", jwt_key_file=path)
    with pytest.raises(Usage, match="jwt_key_file"):
        await assertion(settings, datetime.now(UTC))


@pytest.mark.parametrize(
    ("error", "description", "hint"),
    [
        ("invalid_grant", "no client credentials user enabled", "Run As"),
        ("invalid_client_id", "client identifier invalid", "client_id"),
        ("invalid_client", "invalid client credentials", "client_secret"),
        ("invalid_grant", "request not supported on this domain", "My Domain"),
        ("invalid_grant", "Audience validation failed", "salesforce.audience"),
        ("invalid_grant", "user hasn't approved this consumer", "permission set"),
        ("invalid_grant", "expired access/refresh token", "refresh_token"),
        ("invalid_grant", "authentication failure", "security token"),
        ("unsupported_grant_type", "grant type not supported", "flow"),
        ("inactive_user", "user is inactive", "Activate"),
        ("app_not_found", "External client app is not installed in this org", "salesforce.audience"),
        ("invalid_grant", "app_not_found: no such app", "salesforce.audience"),
        ("something_new", "", "settings"),
    ],
)
async def test_a_refused_login_is_told_with_its_fix_and_never_tried_again(
    error: str, description: str, hint: str, org: Server, clock: QuickClock
) -> None:
    params = {"error": error, "description": description}
    fault(org, {"kind": "refresh_fails", "endpoint": "token", "params": params})
    async with connected(org, clock) as salesforce:
        with pytest.raises(Blocked, match=error) as caught:
            await salesforce.organization()
    assert hint in caught.value.hint
    assert asked(org, "token") == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": "server_error"}, 400),
        Reply({"error": "rate_limit_exceeded"}, 400),
        Reply(b"<html>down</html>", 503, "text/html"),
        Reply(b"<!DOCTYPE html><title>Maintenance</title>", 200, "text/html"),
        Reply(b"", 502),
        Reply({"error": "unknown_error"}, 500),
        Reply({"access_token": "x" * 50}, cut=True),
    ],
)
async def test_an_outage_of_the_login_is_waited_out(reply: Reply, clock: QuickClock) -> None:
    replies = [reply, reply]

    def script(seen: Seen) -> Reply:
        return replies.pop() if replies else token_reply(server.url)

    async with ScriptedServer(script).serve() as server:
        assert (await login_of(server, clock)).instance_url == server.url
        assert len(server.seen) == 3


async def test_an_outage_of_the_login_that_lasts_pauses_the_run(clock: QuickClock) -> None:
    async with ScriptedServer(lambda seen: Reply(b"", 503)).serve() as server:
        with pytest.raises(Paused, match="503"):
            await login_of(server, clock)
        assert len(server.seen) == 6


@pytest.mark.parametrize(
    "reply",
    [
        Reply([], 200),
        Reply({"token_type": "Bearer"}, 200),
        Reply({"access_token": None, "instance_url": None}, 200),
        Reply({"access_token": "x", "instance_url": "ftp://x"}, 200),
        Reply({"access_token": "x", "instance_url": "http://org.example.test"}, 200),
        Reply(b"<html>Moved</html>", 302, "text/html", {"Location": "https://elsewhere.test/"}),
        Reply(b"nothing here", 404, "text/plain"),
        problem("NOT_FOUND", "The requested resource does not exist", 404),
    ],
)
async def test_a_login_url_that_is_no_login_server_blocks(reply: Reply, clock: QuickClock) -> None:
    async with ScriptedServer(lambda seen: reply).serve() as server:
        with pytest.raises(Blocked):
            await login_of(server, clock)
        assert len(server.seen) == 1


async def test_too_many_logins_pause_the_run_and_say_how_long_to_wait(clock: QuickClock) -> None:
    refusal = Reply({"error": "invalid_grant", "error_description": "login rate exceeded"}, 400)
    async with ScriptedServer(lambda seen: refusal).serve() as server:
        with pytest.raises(Paused, match="login rate exceeded") as caught:
            await login_of(server, clock)
        assert len(server.seen) == 1
    assert caught.value.exit_code == 5
    assert "wait an hour" in caught.value.hint


async def test_a_login_url_that_has_moved_is_told_with_its_new_place(clock: QuickClock) -> None:
    moved = Reply(b"", 301, headers={"Location": "https://new.my.salesforce.com/services/oauth2/token?x=1"})
    async with ScriptedServer(lambda seen: moved).serve() as server:
        with pytest.raises(Blocked, match=r"to https://new\.my\.salesforce\.com, which") as caught:
            await login_of(server, clock)
    assert "login_url" in caught.value.hint


async def test_secrets_travel_in_the_body_and_stay_out_of_errors(clock: QuickClock) -> None:
    refusal = Reply(
        {"error": "invalid_grant", "error_description": "bad eyJhbGciOi.eyJzdWIi.c2ln at https://x/?t=1"}, 400
    )
    async with ScriptedServer(lambda seen: refusal).serve() as server:
        with pytest.raises(Blocked) as caught:
            await login_of(server, clock, client_secret="s3&cret =é")
        form = parse_qs(server.seen[0].body.decode())
        assert form["client_secret"] == ["s3&cret =é"]
        assert server.seen[0].query == {}
    said = str(caught.value) + caught.value.hint
    assert all(secret not in said for secret in ("s3&cret", "eyJhbGciOi", "t=1"))


async def test_a_given_token_works_until_it_expires_and_then_asks_for_a_new_one(org: Server, clock: QuickClock) -> None:
    token = org.org.sessions.open(org.org.user_id)
    given = {"auth": "access_token", "access_token": f"{token}\n", "instance_url": org.url}
    async with connected(org, clock, login_url="https://login.salesforce.com", **given) as salesforce:
        assert await salesforce.pages.count(Scope()) == 0
        org.org.sessions.revoke()
        with pytest.raises(Blocked, match="expired") as caught:
            await salesforce.pages.count(Scope())
    assert "ACCESS_TOKEN" in caught.value.hint
    assert asked(org, "token") == 0


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"auth": "client_credentials", "client_secret": None}, "client_secret"),
        ({"auth": "client_credentials", "client_id": None}, "client_id"),
        ({"auth": "jwt", "username": "u"}, "jwt_key_file"),
        ({"auth": "jwt"}, "username"),
        ({"auth": "refresh_token"}, "refresh_token"),
        ({"auth": "password", "username": "u"}, "password"),
        ({"auth": "access_token"}, "access_token"),
        ({"auth": "access_token", "access_token": "t", "login_url": "https://login.salesforce.com"}, "instance_url"),
        ({"auth": "client_credentials", "login_url": "https://test.salesforce.com"}, "client credentials"),
    ],
)
async def test_a_key_that_the_flow_needs_is_missed_before_anything_is_sent(
    settings: dict[str, Any], missing: str, clock: QuickClock
) -> None:
    base = {"login_url": "https://acme.my.salesforce.com", "client_id": "a", "client_secret": "b"}
    with pytest.raises(Usage, match=missing):
        async with open_salesforce(SalesforceSettings(**{**base, **settings}), NetworkSettings(), clock):
            pass


def test_an_instance_url_is_held_to_the_rules_of_the_login_url() -> None:
    settings = SalesforceSettings()
    assert trusted_instance("https://acme.my.salesforce.com/", settings) == "https://acme.my.salesforce.com"
    assert trusted_instance("http://127.0.0.1:8080", settings) == "http://127.0.0.1:8080"
    for url in ("http://acme.my.salesforce.com", "https://user:pw@acme.my.salesforce.com", "file:///etc", ""):
        with pytest.raises(Fatal):
            trusted_instance(url, settings)
    at_home = SalesforceSettings(login_url="http://127.0.0.1:1")
    assert trusted_instance("http://localhost:2", at_home) == "http://localhost:2"
    with pytest.raises(Blocked, match=r"leads to https://acme\.my\.salesforce\.com"):
        trusted_instance("https://acme.my.salesforce.com", at_home)
    open_minded = SalesforceSettings(insecure=True)
    assert trusted_instance("http://acme.test", open_minded) == "http://acme.test"
