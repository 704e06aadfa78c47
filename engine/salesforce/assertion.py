"""The signed assertion of the JWT bearer flow. PyJWT is an extra, imported only for this flow."""

from __future__ import annotations

import asyncio
from datetime import datetime
from urllib.parse import urlsplit

from engine.model.errors import Blocked, Usage
from engine.settings import LoginSettings

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME_S = 180
"""Salesforce takes assertions that expire within three minutes."""
_PRODUCTION = "https://login.salesforce.com"
_SANDBOX = "https://test.salesforce.com"


async def assertion(settings: LoginSettings, now: datetime) -> str:
    """An RS256 assertion for the settings' app and user. Raises Blocked without PyJWT, Usage for an unusable key."""
    try:
        import jwt
    except ImportError:
        raise Blocked("salesforce.auth: jwt needs PyJWT", hint="pip install 'engine[jwt]'") from None
    claims = {
        "iss": settings.client_id,
        "sub": settings.username,
        "aud": settings.audience or audience(settings.login_url),
        "exp": int(now.timestamp()) + _LIFETIME_S,
    }
    path = settings.jwt_key_file
    assert path is not None
    try:
        key = await asyncio.to_thread(path.read_text, "ascii")
        return jwt.encode(claims, key, algorithm="RS256")
    except OSError as error:
        raise Usage(f"salesforce.jwt_key_file {path} cannot be read: {error.strerror}") from None
    except NotImplementedError:
        raise Blocked("salesforce.auth: jwt needs the cryptography package", hint="pip install 'engine[jwt]'") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Usage(f"salesforce.jwt_key_file {path} is not an unencrypted RSA private key in PEM form") from None


def audience(login_url: str) -> str:
    """The ``aud`` for a login URL: the authorisation server of production or of sandboxes, or the URL itself."""
    host = urlsplit(login_url).hostname or ""
    if host == "test.salesforce.com" or host.endswith(".sandbox.my.salesforce.com"):
        return _SANDBOX
    if host == "login.salesforce.com" or host.endswith(".my.salesforce.com"):
        return _PRODUCTION
    return login_url
