"""What the answers of the token endpoint mean, and what to do about each refusal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.limiting.backoff import retry_after_s
from engine.model.errors import Blocked, Paused, Transient
from engine.model.failures import FailureClass
from engine.model.text import json_in
from engine.salesforce.faults import problems_in, redirected_to, shortened

_AUTHORISE = (
    "Authorise the app again and set the new salesforce.refresh_token. If the app rotates its tokens, each can be used "
    "once, and using an old one revokes them all: no other program may use the same token."
)
_APP_NOT_FOUND = (
    "Check salesforce.login_url and that the app is installed in this org. For jwt also set salesforce.audience: "
    "external client apps of sandboxes want https://login.salesforce.com or the org's own URL, not https://test.salesforce.com."
)

#: OAuth's ``error`` → what to do about it, unless ``_BY_DESCRIPTION`` knows better.
_HINTS: Mapping[str, str] = {
    "invalid_client_id": "Check salesforce.client_id, the consumer key of the app.",
    "invalid_client": "Check salesforce.client_id and client_secret; after a rotation, set the new secret.",
    "invalid_client_credentials": "Check salesforce.client_secret.",
    "unsupported_grant_type": "The app does not allow this flow: enable it there, or choose another salesforce.auth.",
    "inactive_user": "Activate the integration user, or log in as another.",
    "inactive_org": "The org is locked, suspended or expired.",
    "app_not_found": _APP_NOT_FOUND,
    "invalid_app_access": "Give the user access to the app (permission set or profile).",
    "invalid_grant": "Check user, secrets and login URL, and the user's allowed IP addresses and login hours.",
    "invalid_request": "Check salesforce.auth and its keys.",
}

_BY_DESCRIPTION: tuple[tuple[str, str], ...] = (
    ("no client credentials user", "Choose a 'Run As' user in the app's client credentials flow."),
    ("request not supported on this domain", "Set salesforce.login_url to the org's own My Domain URL."),
    (
        "audience",
        "Set salesforce.audience: https://login.salesforce.com, or https://test.salesforce.com for sandboxes.",
    ),
    ("app_not_found", _APP_NOT_FOUND),
    ("client app is not installed", _APP_NOT_FOUND),
    ("hasn't approved", "Approve the app for the user first: permitted users 'admin approved', and a permission set."),
    ("not admin approved", "Add the user's profile or a permission set to the app."),
    (
        "expired access/refresh token",
        _AUTHORISE,
    ),
    (
        "authentication failure",
        "Check user, password and security token; newer orgs block the password flow altogether.",
    ),
    ("invalid assertion", "Check that the app holds the certificate of salesforce.jwt_key_file, and the clock here."),
)

_RETRIED = frozenset({"server_error", "rate_limit_exceeded", "temporarily_unavailable"})

NOT_A_LOGIN_SERVER = (
    "Check salesforce.login_url: it should be https://….my.salesforce.com or https://login.salesforce.com."
)


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Transient | Blocked | Paused:
    """The error that a token endpoint's answer means."""
    if 300 <= status < 400:
        return Blocked(
            f"the login server answered {status}, a redirect{redirected_to(headers)}, which is not followed",
            hint="Set salesforce.login_url to where the org lives now.",
        )
    problems, pause_s = problems_in(body), retry_after_s(headers.get("Retry-After", ""))
    if not problems:
        if status == 429 or status >= 500:
            return Transient(FailureClass.NETWORK, f"the login server answered {status}", retry_after_s=pause_s)
        return Blocked(f"the login server answered {status}, but not with a login answer", hint=NOT_A_LOGIN_SERVER)
    code, description = problems[0].code.lower(), problems[0].message
    said = f"Salesforce refused the login ({shortened(': '.join(part for part in (code, description) if part))})"
    if code in _RETRIED or status == 429 or status >= 500:
        return Transient(FailureClass.NETWORK, said, retry_after_s=pause_s)
    if "login rate exceeded" in description.lower():
        return Paused(said, hint="The user may log in 3,600 times an hour; wait an hour, then start the same command.")
    for words, hint in _BY_DESCRIPTION:
        if words in description.lower():
            return Blocked(said, hint=hint)
    return Blocked(said, hint=_HINTS.get(code, "Check the salesforce section of the settings."))


def granted(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a 200. Raises Transient for a web page, Blocked for anything else."""
    try:
        answer = json_in(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    if body.lstrip()[:1] == b"<":
        raise Transient(
            FailureClass.NETWORK, "the login server answered with a web page: maintenance, or not a login server"
        )
    raise Blocked("the login server did not answer with a login answer", hint=NOT_A_LOGIN_SERVER)
