"""The OAuth flows: they open sessions, tell whose they are, and end them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any
from urllib.parse import parse_qs

from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.wire import ApiRequest, ApiResponse, OAuthError, as_json

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST /services/oauth2/token``."""
    if request.method != "POST":
        raise OAuthError("invalid_request", "must use HTTP POST")
    try:
        form = {key: values[0] for key, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}
    except UnicodeDecodeError as error:
        raise OAuthError("invalid_request", "the body must be form-encoded UTF-8") from error
    form.update(_basic(request))
    grant = form.get("grant_type", "")
    flows = {
        "client_credentials": _client_credentials,
        JWT_GRANT: _jwt_bearer,
        "refresh_token": _refresh,
        "password": _password,
    }
    if grant not in flows:
        raise OAuthError("unsupported_grant_type", "grant type not supported")
    return as_json(flows[grant](org, request, form))


def _client_credentials(org: Org, request: ApiRequest, form: dict[str, str]) -> dict[str, Any]:
    if request.on_login_host:
        raise OAuthError("invalid_grant", "request not supported on this domain")
    _check_client(org, form, secret=True)
    if not org.settings.client_credentials_user:
        raise OAuthError("invalid_grant", "no client credentials user enabled")
    return _grant(org, scope="api")


def _jwt_bearer(org: Org, request: ApiRequest, form: dict[str, str]) -> dict[str, Any]:
    import jwt  # an optional extra; only this flow needs it

    key = org.settings.jwt_public_key
    if key is None:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    try:
        claims = jwt.decode(
            form.get("assertion", ""),
            key,
            algorithms=["RS256"],
            options={
                "verify_exp": False,
                "verify_aud": False,
                "verify_sub": False,
                "require": ["iss", "sub", "aud", "exp"],
            },
        )
    except jwt.InvalidTokenError as error:
        raise OAuthError("invalid_grant", "invalid assertion") from error
    if claims["iss"] != org.settings.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if not set(audiences) & set(org.settings.jwt_audiences):
        raise OAuthError("invalid_grant", "Audience validation failed")
    if claims["sub"] != org.settings.username:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    try:
        expires = float(claims["exp"])
    except (TypeError, ValueError) as error:
        raise OAuthError("invalid_grant", "invalid assertion") from error
    if expires <= org.clock.now().timestamp():
        raise OAuthError("invalid_grant", "assertion expired")
    answer = _grant(org, scope="api")
    del answer["signature"], answer["issued_at"]
    return answer


def _refresh(org: Org, request: ApiRequest, form: dict[str, str]) -> dict[str, Any]:
    _check_client(org, form, secret="client_secret" in form)
    settings, given = org.settings, form.get("refresh_token", "")
    if not given or given != settings.refresh_token:
        if given in org.used_refresh_tokens:
            settings.refresh_token = ""
            org.sessions.revoke()
        raise OAuthError("invalid_grant", "expired access/refresh token")
    answer = _grant(org, scope="refresh_token api")
    if settings.rotate_refresh_tokens:
        org.used_refresh_tokens.add(given)
        settings.refresh_token = answer["refresh_token"] = f"5Aep861rotated{len(org.used_refresh_tokens)}"
    return answer


def _password(org: Org, request: ApiRequest, form: dict[str, str]) -> dict[str, Any]:
    _check_client(org, form, secret=True)
    settings = org.settings
    right = (settings.username, settings.password + settings.security_token)
    if settings.password_flow_blocked or (form.get("username"), form.get("password")) != right:
        raise OAuthError("invalid_grant", "authentication failure")
    return _grant(org)


def _grant(org: Org, *, scope: str | None = None) -> dict[str, Any]:
    """Open a session and describe it as the token endpoint does; there is no ``expires_in``."""
    access = org.sessions.open(org.user_id)
    issued = str(int(org.clock.now().timestamp() * 1000))
    identity = f"{org.login_url}/id/{org.org_id}/{org.user_id}"
    digest = hashlib.sha256(f"{identity}{issued}".encode()).digest()
    answer = {
        "access_token": access,
        "signature": base64.b64encode(digest).decode(),
        "instance_url": org.instance_url,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued,
    }
    if scope is not None:
        answer["scope"] = scope
    return answer


def userinfo(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET /services/oauth2/userinfo``: who the token is."""
    return as_json(
        {
            "sub": f"{org.login_url}/id/{org.org_id}/{request.user_id()}",
            "user_id": request.user_id(),
            "organization_id": org.org_id,
            "preferred_username": org.settings.username,
            "name": "Rehearsal Operator",
        }
    )


def revoke(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST /services/oauth2/revoke`` with ``token=``."""
    values = parse_qs(request.body.decode(errors="replace")).get("token", [""])
    if not org.sessions.revoke(values[0]):
        raise OAuthError("unsupported_token_type", "this token type is not supported")
    return ApiResponse()


def _check_client(org: Org, form: dict[str, str], *, secret: bool) -> None:
    if form.get("client_id") != org.settings.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if secret and form.get("client_secret") != org.settings.client_secret:
        raise OAuthError("invalid_client", "invalid client credentials")


def _basic(request: ApiRequest) -> dict[str, str]:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        key, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", "invalid client credentials") from error
    return {"client_id": key, "client_secret": secret}
