"""Secrets in files of their own: ``client_secret_file: PATH`` in place of ``client_secret``."""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import replace
from pathlib import Path

from engine.reading.file import is_open_to_others
from engine.reading.findings import Findings, Given, Unusable
from engine.reading.keys import Key, Way

MAX_BYTES = 65_536


def with_secret_files(
    given: dict[Way, Given], known: dict[Way, Key], findings: Findings, home: Path, *, credentials: str | None
) -> dict[Way, Given]:
    """``given`` with every ``…_file``, from ``home`` where it is relative, replaced by the secret read from it.

    ``credentials`` is systemd's ``$CREDENTIALS_DIRECTORY``: the group-read bit of its files is only the mask of an
    access list, so there only the bits of others count.
    """
    result = {way: item for way, item in given.items() if known[way].holds_secret_of is None}
    for item in given.values():
        key = known[item.way]
        if key.holds_secret_of is None or item.value is None:
            continue
        secret = key.holds_secret_of
        other = given.get(secret)
        if other is not None and other.value is not None:
            text = f"{known[secret].dotted} is also given ({other.origin}); keep one of the two"
            findings.add(item.origin, f"{key.dotted}: {text}", secret)
            continue
        try:
            result[secret] = replace(item, way=secret, value=_read(home, Path(item.value), credentials))
            if key.is_setting:
                result[item.way] = item
        except Unusable as unusable:
            findings.add(item.origin, f"{key.dotted}: {item.value} {unusable}", secret)
    return result


def _read(home: Path, path: Path, credentials: str | None) -> str:
    try:
        path = home / path.expanduser()
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:
        raise Unusable(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    handed_over = credentials is not None and path.is_relative_to(credentials)
    if is_open_to_others(mode & ~0o070 if handed_over else mode):
        raise Unusable(f"may be used by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {shlex.quote(str(path))}")
    if len(content) > MAX_BYTES:
        raise Unusable(f"holds more than {MAX_BYTES:,} bytes; that is no secret")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError as error:
        raise Unusable("is not UTF-8 text") from error
    if not text:
        raise Unusable("is empty; write the secret into it")
    return text
