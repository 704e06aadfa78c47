"""Whom we trust on TLS: the one context that all connections share, and none for those that nobody uses."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from engine.model.errors import Usage


@lru_cache(maxsize=4)
def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """The system's certificates, and those of ``network.ca_file`` beside them. Raises Usage when that is unreadable.

    Cached: reading the system's certificates takes a tenth of a second.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Usage(f"network.ca_file {ca_file} cannot be read as certificates: {error}") from None
    return context


@contextmanager
def trusting_nobody() -> Iterator[None]:
    """Contexts made in here find no certificates of the system, where OpenSSL has them in one file.

    For the import of a library that makes contexts which we never use: reading that file takes 35 ms each time.
    """
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before
