"""Logging in: each flow of ``salesforce.auth`` gets a token and the URL of the org.

All OAuth flows post a form to ``{login_url}/services/oauth2/token``. The answers state no lifetime: sessions end after
some idle time, so a login is renewed after a 401 and not before. Bad credentials are never tried twice, since that
locks the user out; a login is tried again only after an outage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from engine.limiting.clock import Clock
from engine.limiting.retry import retry
from engine.model.base_url import is_local, url_fault
from engine.model.errors import Blocked, Paused, Transient, Usage
from engine.salesforce.assertion import GRANT_TYPE, assertion
from engine.salesforce.faults import Unreachable
from engine.salesforce.http import Http
from engine.salesforce.login_faults import NOT_A_LOGIN_SERVER, granted, refusal
from engine.salesforce.refresh_tokens import RefreshTokens
from engine.salesforce.rows import canonical
from engine.salesforce.sf_cli import SfCli
from engine.settings import LoginSettings

_ATTEMPTS = 6
_FIRST_CONTACT = 3
"""Tries of a login server that has never answered: more likely its name is wrong than its network down."""
_LATER = "Start the same command again once the login server answers. If it never does, check salesforce.login_url."
_SHARED_LOGIN_HOSTS = frozenset({"login.salesforce.com", "test.salesforce.com"})


@dataclass(frozen=True, slots=True)
class Session:
    """A token and the URL it is for. ``org_id`` and ``user_id`` are empty where the login did not state them."""

    token: str = field(repr=False)
    instance_url: str
    org_id: str = ""
    user_id: str = ""


Login = Callable[[], Awaitable[Session]]
"""Gets a new session. Raises Blocked (also when no server answers the first time), Usage, or Paused when the login
server stops answering later, or is in maintenance."""


def login_for(settings: LoginSettings, http: Http, clock: Clock, database: Path | None = None) -> Login:
    """The login that ``salesforce.auth`` asks for. Raises Usage when a key that it needs is not set.

    A new refresh token may be kept beside ``database``.
    """
    if settings.auth == "access_token":
        return GivenToken(settings)
    if settings.auth == "sf_cli":
        cli = SfCli(settings.target_org)

        async def through_cli() -> Session:
            token, instance_url = await cli.token()
            return Session(token, trusted_instance(instance_url, settings))

        return through_cli
    return OAuth(settings, http, clock, database)


class GivenToken:
    """A token from the settings. It cannot be renewed."""

    def __init__(self, settings: LoginSettings) -> None:
        self._token = _secret(settings.access_token, "access_token")
        self._url = settings.instance_url or settings.login_url
        if urlsplit(self._url).hostname in _SHARED_LOGIN_HOSTS:
            raise Usage("salesforce.instance_url is not set: a token is only good at its own org's URL")
        self._spent = False

    async def __call__(self) -> Session:
        if self._spent:
            raise Blocked(
                "the Salesforce access token has expired, or its org has moved, and it cannot be renewed",
                hint="Set a new ENGINE_SALESFORCE__ACCESS_TOKEN, or choose a salesforce.auth that renews by itself.",
            )
        self._spent = True
        return Session(self._token, _base(self._url))


class OAuth:
    """Client credentials, JWT bearer, refresh token, or user name and password."""

    def __init__(self, settings: LoginSettings, http: Http, clock: Clock, database: Path | None = None) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._tokens: RefreshTokens | None = None
        if settings.auth == "refresh_token":
            self._tokens = RefreshTokens(
                _secret(settings.refresh_token, "refresh_token"), settings.refresh_token_file, database
            )
        self._met = False
        host = urlsplit(settings.login_url).hostname
        if settings.auth == "client_credentials" and host in _SHARED_LOGIN_HOSTS:
            raise Usage(
                f"client credentials are not accepted at {host}",
                hint="Set salesforce.login_url to the org's own URL, such as https://mydomain.my.salesforce.com.",
            )
        self._form()

    async def __call__(self) -> Session:
        try:
            return await retry(
                self._alone, clock=self._clock, attempts=_ATTEMPTS, base_s=1.0, on_failure=self._never_met
            )
        except Transient as error:
            raise Paused(str(error), hint=_LATER) from None

    async def _never_met(self, number: int, error: Transient) -> None:
        """Raises Blocked where there seems to be no such host."""
        if number >= _FIRST_CONTACT and isinstance(error, Unreachable) and not self._met:
            raise Blocked(
                f"Salesforce cannot be reached: {error}",
                hint="Check salesforce.login_url, network.proxy and this machine's network.",
            ) from None

    async def _alone(self) -> Session:
        if self._tokens is None:
            return await self._mint()
        async with self._tokens.turn(self._clock):
            return await self._mint()

    async def _mint(self) -> Session:
        """One POST to the token endpoint. The parameters go into the body: query strings end up in logs."""
        url = f"{self._settings.login_url.rstrip('/')}/services/oauth2/token"
        answer = await self._http.send(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=urlencode(await self._signed_form()).encode("ascii"),
        )
        self._met = True
        if answer.status == 200:
            return await self._session(granted(answer.body))
        raise refusal(answer.status, answer.headers, answer.body)

    def _form(self) -> dict[str, str]:
        """The form, without the assertion of jwt. Raises Usage for keys that are not set."""
        settings = self._settings
        client_id = _needed(settings.client_id, "client_id")
        match settings.auth:
            case "client_credentials":
                secret = _secret(settings.client_secret, "client_secret")
                return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
            case "jwt":
                _needed(settings.username, "username")
                if settings.jwt_key_file is None:
                    raise _not_set("jwt_key_file")
                return {"grant_type": GRANT_TYPE}
            case "refresh_token":
                assert self._tokens is not None
                form = {
                    "grant_type": "refresh_token",
                    "client_id": client_id,
                    "refresh_token": self._tokens.newest(),
                }
                secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
                return form | ({"client_secret": secret} if secret else {})
            case _:
                suffix = settings.security_token.get_secret_value() if settings.security_token else ""
                return {
                    "grant_type": "password",
                    "client_id": client_id,
                    "client_secret": _secret(settings.client_secret, "client_secret"),
                    "username": _needed(settings.username, "username"),
                    "password": _secret(settings.password, "password") + suffix,
                }

    async def _signed_form(self) -> dict[str, str]:
        form = self._form()
        if self._settings.auth == "jwt":
            form["assertion"] = await assertion(self._settings, self._clock.now())
        return form

    async def _session(self, answer: Mapping[str, Any]) -> Session:
        token, instance_url = answer.get("access_token"), answer.get("instance_url")
        if not isinstance(token, str) or not token or not isinstance(instance_url, str):
            raise Blocked("the login answer holds no access_token and instance_url", hint=NOT_A_LOGIN_SERVER)
        if self._tokens is not None and isinstance(rotated := answer.get("refresh_token"), str) and rotated:
            await self._tokens.keep(rotated)
        return Session(token, trusted_instance(instance_url, self._settings), *identity(answer.get("id")))


def trusted_instance(url: str, settings: LoginSettings) -> str:
    """The origin of an org URL that a login gave. The rules are those of the login URL: https, or loopback."""
    if fault := url_fault(url, insecure=settings.insecure):
        raise Blocked(f"the instance URL of the login answer {fault}")
    base = _base(url)
    if is_local(settings.login_url) and not is_local(base):
        raise Blocked(f"the login on this machine leads to {base}", hint="Set salesforce.login_url to that org itself.")
    return base


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def identity(url: object) -> tuple[str, str]:
    """Org and user in an identity URL, ``…/id/<org id>/<user id>``; empty where it is not one."""
    parts = urlsplit(url).path.split("/") if isinstance(url, str) else []
    return (canonical(parts[-2]), canonical(parts[-1])) if len(parts) >= 4 and parts[-3] == "id" else ("", "")


def _needed(value: str | None, key: str) -> str:
    if not value:
        raise _not_set(key)
    return value


def _secret(value: SecretStr | None, key: str) -> str:
    return _needed(value.get_secret_value().strip() if value else None, key)


def _not_set(key: str) -> Usage:
    return Usage(
        f"salesforce.{key} is not set", hint=f"Set it in settings.yaml, or as ENGINE_SALESFORCE__{key.upper()}."
    )
