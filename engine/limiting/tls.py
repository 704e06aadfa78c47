"""The certificates that we trust: one TLS context for all connections."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from engine.model.errors import Usage


@lru_cache(maxsize=4)
def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Trusts the system's certificates and those of ``network.ca_file``. Raises Usage when that cannot be read.

    Cached: reading the system's certificates takes a tenth of a second.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Usage(f"network.ca_file {ca_file} cannot be read as certificates: {error}") from None
    return context
