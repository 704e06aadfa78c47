"""``engine init``: a commented settings file to start from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.limiting.private_files import sync
from engine.model.command import Command
from engine.model.errors import Usage
from engine.runs.shared.command import to_type
from engine.runs.shared.exports import replacing


def may_write(path: Path, force: bool) -> None:
    """Raises Usage where ``write_settings`` would, as far as that can be known before."""
    if not force and (path.exists() or path.is_symlink()):
        raise _exists(path)


def _exists(path: Path) -> Usage:
    return Usage(f"{path} exists and was left as it is", hint=(Command("init --force"), "   replaces it"))


def write_settings(path: Path, force: bool = False, answers: Mapping[tuple[str, ...], Any] | None = None) -> str:
    """Write the commented ``settings.yaml`` with every default, mode 0600. Returns what to do with it.

    ``answers`` stand in place of defaults and examples, by the way to each setting.

    An existing file is replaced only with ``force``, and then in one step, so that no reader sees half of it.
    Raises Usage when the file exists or cannot be written.
    """
    from engine.reading.template import (
        settings_text,  # pydantic and PyYAML are needed only once there is something to write
    )

    try:
        if force:
            with replacing(path) as file:
                file.write(settings_text(answers))
        else:
            _create(path, settings_text(answers))
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise Usage(
            f"{path} cannot be written: {error.strerror}", hint="name another place: engine --config FILE init"
        ) from error
    if answers:
        return f"Wrote {path} (mode 0600). Next: {to_type(Command('doctor'))}"
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
