"""Messages between the run and a child process: a length, and a pickle of that length.

Both ends are one program at one version, and nobody else has the socket. A plan takes some ten microseconds on either
side, a file two hundred: so plans travel as they are.
"""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

_HEAD = 8


def packed(message: Any) -> bytes:
    """One message."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(_HEAD, "big") + body


async def read(reader: asyncio.StreamReader) -> Any:
    """The next message; None: the other side has gone."""
    try:
        head = await reader.readexactly(_HEAD)
        return pickle.loads(await reader.readexactly(int.from_bytes(head, "big")))  # noqa: S301 - see above
    except (asyncio.IncompleteReadError, OSError):
        return None
