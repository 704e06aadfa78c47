"""What a rehearsal starts: our own modules in processes of their own, out of reach of whatever surrounds them.

Nothing is imported from the working directory. Of the environment they get no settings, no keys and no proxy, so that
nothing that is exported leads a rehearsal to anybody's real org or bucket.
"""

from __future__ import annotations

import os

from engine.model.surroundings import command as command
from engine.model.surroundings import plain

_NOBODYS_KEYS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The AWS SDK would look into the home directory, and ask the machine's network."""


def environment() -> dict[str, str]:
    """All that a child sees."""
    return plain(os.environ) | _NOBODYS_KEYS
