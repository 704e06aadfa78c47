"""Getting and losing a session."""

from __future__ import annotations

from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.rehearsal.salesforce import StandInSettings
from tests.support.standin import LOGIN, VERSION, Answer, Caller, StillClock, calling

TOKEN = "/services/oauth2/token"
NOW = int(StillClock().now().timestamp())


async def ask(org: Caller, **form: Any) -> Answer:
    return await org.raw("POST", org.server.login_url + TOKEN, data=form)


async def test_client_credentials_in_the_body_open_a_session() -> None:
    async with calling(login=False) as org:
        answer = await ask(org, **LOGIN)

        assert answer.status == 200
        assert answer.json["access_token"].startswith("00D5e00000SimOr!AQ")
        assert answer.json["token_type"] == "Bearer"
        assert answer.json["instance_url"] == org.server.url
        assert answer.json["issued_at"] == str(NOW * 1000)
        assert "expires_in" not in answer.json
        assert "refresh_token" not in answer.json


async def test_client_credentials_in_a_basic_header_open_a_session() -> None:
    async with calling(login=False) as org:
        url = org.server.login_url + TOKEN
        header = aiohttp.encode_basic_auth("rehearsal", "rehearsal-secret")
        answer = await org.raw(
            "POST", url, data={"grant_type": "client_credentials"}, headers={"Authorization": header}
        )

        assert answer.status == 200


@pytest.mark.parametrize(
    ("change", "error", "description"),
    [
        ({"client_id": "someone"}, "invalid_client_id", "client identifier invalid"),
        ({"client_secret": "wrong"}, "invalid_client", "invalid client credentials"),
        ({"grant_type": "magic"}, "unsupported_grant_type", "grant type not supported"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant", "expired access/refresh token"),
        ({"grant_type": "password", "username": "x", "password": "y"}, "invalid_grant", "authentication failure"),
    ],
)
async def test_wrong_credentials_are_refused_with_an_object(
    change: dict[str, str], error: str, description: str
) -> None:
    async with calling(login=False) as org:
        answer = await ask(org, **{**LOGIN, **change})

        assert answer.status == 400
        assert answer.json == {"error": error, "error_description": description}


async def test_an_app_without_a_run_as_user_gets_no_session() -> None:
    async with calling(StandInSettings(client_credentials_user=False), login=False) as org:
        answer = await ask(org, **LOGIN)

        assert answer.json["error_description"] == "no client credentials user enabled"


async def test_a_refresh_token_opens_a_session() -> None:
    async with calling(login=False) as org:
        token = org.server.org.settings.refresh_token
        answer = await ask(org, grant_type="refresh_token", client_id="rehearsal", refresh_token=token)

        assert answer.status == 200


async def test_the_password_flow_needs_the_token_appended_and_can_be_blocked() -> None:
    async with calling(login=False) as org:
        form = {**LOGIN, "grant_type": "password", "username": "operator@example.test"}
        bare = await ask(org, **form, password="rehearsal-password")
        whole = await ask(org, **form, password="rehearsal-passwordrehearsal-token")
        await org.sim("POST", "settings", json={"password_flow_blocked": True})
        blocked = await ask(org, **form, password="rehearsal-passwordrehearsal-token")

        assert [bare.status, whole.status, blocked.status] == [400, 200, 400]
        assert "scope" not in whole.json


class Signer:
    """Holds a key pair and makes JWT assertions."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public_pem(self) -> str:
        return (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def assertion(self, **changed: Any) -> str:
        claims = {
            "iss": "rehearsal",
            "sub": "operator@example.test",
            "aud": "https://login.salesforce.com",
            "exp": NOW + 180,
        }
        return jwt.encode({**claims, **changed}, self._key, algorithm="RS256")


JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


async def test_a_signed_assertion_opens_a_session() -> None:
    signer = Signer()
    async with calling(StandInSettings(jwt_public_key=signer.public_pem()), login=False) as org:
        answer = await ask(org, grant_type=JWT, assertion=signer.assertion())

        assert answer.status == 200
        assert answer.json["scope"] == "api"


@pytest.mark.parametrize(
    ("changed", "description"),
    [
        ({"aud": "https://test.salesforce.com"}, "Audience validation failed"),
        ({"sub": "nobody@example.test"}, "user hasn't approved this consumer"),
        ({"iss": "other"}, "client identifier invalid"),
        ({"exp": NOW - 1}, "assertion expired"),
    ],
)
async def test_an_assertion_with_a_wrong_claim_is_refused(changed: dict[str, Any], description: str) -> None:
    signer = Signer()
    async with calling(StandInSettings(jwt_public_key=signer.public_pem()), login=False) as org:
        answer = await ask(org, grant_type=JWT, assertion=signer.assertion(**changed))

        assert answer.status == 400
        assert answer.json["error_description"] == description


async def test_an_assertion_signed_by_somebody_else_is_refused() -> None:
    async with calling(StandInSettings(jwt_public_key=Signer().public_pem()), login=False) as org:
        answer = await ask(org, grant_type=JWT, assertion=Signer().assertion())

        assert answer.json["error_description"] == "invalid assertion"


async def test_a_separate_login_port_logs_in_and_does_nothing_else() -> None:
    signer = Signer()
    settings = StandInSettings(separate_login=True, jwt_public_key=signer.public_pem())
    async with calling(settings, login=False) as org:
        refused = await ask(org, **LOGIN)
        granted = await ask(org, grant_type=JWT, assertion=signer.assertion())
        token = granted.json["access_token"]
        elsewhere = await org.raw(
            "GET", f"{org.server.login_url}{VERSION}/limits", headers={"Authorization": f"Bearer {token}"}
        )

        assert refused.json["error_description"] == "request not supported on this domain"
        assert granted.json["instance_url"] == org.server.url != org.server.login_url
        assert elsewhere.status == 404


async def test_the_instance_may_carry_another_host_name_than_the_login() -> None:
    async with calling(StandInSettings(instance_host="localhost"), login=False) as org:
        answer = await ask(org, **LOGIN)

        assert org.server.login_url.startswith("http://127.0.0.1:")
        assert answer.json["instance_url"] == org.server.url
        assert org.server.url.startswith("http://localhost:")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer 00Dxx!AQnonsense"}])
async def test_calls_without_a_living_token_are_401(header: dict[str, str]) -> None:
    async with calling(login=False) as org:
        answer = await org.raw("GET", f"{org.server.url}{VERSION}/limits", headers=header)

        assert answer.status == 401
        assert answer.json == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
        assert "Sforce-Limit-Info" not in answer.headers


async def test_a_session_dies_of_two_idle_hours_and_lives_by_being_used() -> None:
    async with calling() as org:
        statuses = []
        for minutes in (119, 119, 121):
            await org.sim("POST", "clock", json={"advance": minutes * 60})
            statuses.append((await org.call("GET", "/limits")).status)

        assert statuses == [200, 200, 401]


async def test_revoking_ends_every_session_at_once() -> None:
    async with calling() as org:
        revoked = await org.sim("POST", "revoke")

        assert revoked == {"revoked": 1}
        assert (await org.call("GET", "/limits")).status == 401


async def test_a_client_may_revoke_its_own_token() -> None:
    async with calling() as org:
        await org.raw("POST", f"{org.server.url}/services/oauth2/revoke", data={"token": org.token})

        assert (await org.call("GET", "/limits")).status == 401


async def test_userinfo_tells_who_the_token_is() -> None:
    async with calling() as org:
        answer = await org.call("GET", "/services/oauth2/userinfo")

        assert answer.json["organization_id"] == org.server.org.org_id
        assert answer.json["preferred_username"] == "operator@example.test"


def _envelope(username: str, password: str) -> bytes:
    return (
        '<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        '<n1:login xmlns:n1="urn:partner.soap.sforce.com">'
        f"<n1:username>{username}</n1:username><n1:password>{password}</n1:password></n1:login></e:Body></e:Envelope>"
    ).encode()


async def test_soap_login_answers_with_a_session_that_works() -> None:
    async with calling(login=False) as org:
        url = f"{org.server.login_url}/services/Soap/u/62.0"
        body = _envelope("operator@example.test", "rehearsal-passwordrehearsal-token")
        answer = await org.raw("POST", url, data=body, headers={"Content-Type": "text/xml"})
        org.token = answer.body.decode().partition("<sessionId>")[2].partition("</sessionId>")[0]

        assert answer.status == 200
        assert (await org.call("GET", "/limits")).status == 200


@pytest.mark.parametrize(
    ("version", "password", "code"),
    [
        ("62.0", "wrong", "INVALID_LOGIN"),
        ("62.0", "rehearsal-password", "LOGIN_MUST_USE_SECURITY_TOKEN"),
        ("65.0", "rehearsal-passwordrehearsal-token", "UNSUPPORTED_API_VERSION"),
    ],
)
async def test_soap_login_fails_with_a_fault(version: str, password: str, code: str) -> None:
    async with calling(login=False) as org:
        url = f"{org.server.login_url}/services/Soap/u/{version}"
        answer = await org.raw("POST", url, data=_envelope("operator@example.test", password))

        assert answer.status == 500
        assert f"<sf:exceptionCode>{code}</sf:exceptionCode>" in answer.body.decode()
