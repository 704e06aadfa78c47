"""What can be chosen about a stand-in org; every default is a documented constant, so that tools can log in blindly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

Latency = float | tuple[float, float]
"""Milliseconds, or a (lowest, highest) pair to draw from evenly."""

FIRST_VERSION = 31.0
"""Versions 21 to 30 are retired (410); older ones never answered REST."""
LAST_VERSION = 67.0
LAST_SOAP_LOGIN_VERSION = 64.0


@dataclass(slots=True, kw_only=True)
class StandInSettings:
    """Credentials, limits and habits of one stand-in org.

    ``latency_ms`` maps an endpoint name (see ``routes.py``), or ``*`` for all others, to a Latency.
    ``separate_login`` opens a second port that only logs people in, as ``login.salesforce.com`` does; the token answer
    then carries the other port as its ``instance_url``. ``instance_host`` alone only changes the host name in there.
    ``lock_parent`` names a reference field, such as ``Account__c``: calls that write to children of the same parent at
    the same time (latency makes them overlap) then fail on those rows with UNABLE_TO_LOCK_ROW.
    ``rotate_refresh_tokens``: each is good for one use; a used one ends all sessions and the newest token.
    ``db`` None keeps the rows in memory.
    """

    client_id: str = "rehearsal"
    client_secret: str = field(default="rehearsal-secret", repr=False)
    username: str = "operator@example.test"
    password: str = field(default="rehearsal-password", repr=False)
    security_token: str = field(default="rehearsal-token", repr=False)
    refresh_token: str = field(default="5Aep861rehearsalrefreshtoken", repr=False)
    rotate_refresh_tokens: bool = False
    jwt_public_key: str | None = None
    jwt_audiences: tuple[str, ...] = ("https://login.salesforce.com",)
    password_flow_blocked: bool = False
    client_credentials_user: bool = True

    org_id: str = "00D5e00000SimOr"
    org_name: str = "Rehearsal Org"
    org_type: str = "Developer Edition"
    is_sandbox: bool = True
    instance_name: str = "SIM1"

    host: str = "127.0.0.1"
    port: int = 0
    instance_host: str | None = None
    separate_login: bool = False
    login_port: int = 0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    db: Path | None = None

    session_idle_s: float = 7200.0
    daily_max: int = 100_000
    long_request_max: int = 25
    single_use_locators: bool = False
    lock_parent: str | None = None
    gzip: bool = True
    latency_ms: dict[str, Latency] = field(default_factory=dict)
