"""``engine init``: a commented settings file to start from."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from engine.limiting.private_files import sync
from engine.model.command import Command
from engine.model.errors import Usage
from engine.runs.shared.command import to_type
from engine.runs.shared.exports import replacing


def write_settings(path: Path, force: bool = False) -> str:
    """Write the commented ``settings.yaml`` with every default, mode 0600. Returns what to do with it.

    An existing file is replaced only with ``force``, and then in one step, so that no reader sees half of it.
    Raises Usage when the file exists or cannot be written.
    """
    from engine.reading.template import (
        settings_text,  # pydantic and PyYAML are needed only once there is something to write
    )

    try:
        if force:
            with replacing(path) as file:
                file.write(settings_text())
        else:
            _create(path, settings_text())
    except FileExistsError as error:
        raise Usage(f"{path} exists and was left as it is", hint=(Command("init --force"), "   replaces it")) from error
    except OSError as error:
        raise Usage(
            f"{path} cannot be written: {error.strerror}", hint="name another place: engine --config FILE init"
        ) from error
    return (
        f"Wrote {path} (mode 0600). Fill in salesforce, source and destination; secrets go into the\n"
        f"environment, for example ENGINE_SALESFORCE__CLIENT_SECRET. Then: {to_type(Command('accounts'))}"
    )


def _create(path: Path, text: str) -> None:
    if path.exists() or path.is_symlink():
        raise FileExistsError
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with replacing(draft) as file:
            file.write(text)
        os.link(draft, path)
        with suppress(PermissionError):
            sync(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink()
