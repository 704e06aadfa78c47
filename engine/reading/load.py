"""The settings of one command: flags over environment over file over defaults, or one Usage error that lists it all.

pydantic checks the merged tree; the sources are read here and not by pydantic-settings, whose sources hand on bare
dictionaries: without the line, the variable or the flag a value came from no message could name it, repeated YAML keys
would pass unseen, and its errors name the model instead of the file.

pydantic and PyYAML are imported only when settings are loaded, so that ``engine --help`` need not wait for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.settings import Settings


def load_settings(
    path: Path | None, *, environ: Mapping[str, str], overrides: Mapping[str, Any], must_exist: bool = True
) -> Settings:
    """The settings in force.

    ``path`` is the YAML file, or None for none; relative paths start at its folder. ``environ`` gives
    ``ENGINE_SECTION__KEY`` variables (empty ones count as not set, ``null`` empties what may be empty, lists are JSON
    or separated by commas). ``overrides`` are flags as dotted keys, such as ``{"migration.concurrency": 50}``; None
    means that the flag was not given. A file with ``network.loopback_only`` is a rehearsal's: ``environ`` is not asked,
    whatever is exported for the real org.

    Raises Usage that names every problem with key, value (never a secret's), place and remedy; Blocked where the
    tracking DB lies where earlier versions looked.
    """
    from engine.reading.check import checked
    from engine.reading.file import read_file
    from engine.reading.findings import Findings
    from engine.reading.keys import known_keys
    from engine.reading.layers import ALONE, merged, read_environment, read_flags
    from engine.reading.places import home_of, refuse_left_behind
    from engine.reading.secrets import with_secret_files

    known, findings = known_keys(), Findings()
    written = read_file(path, known, findings, must_exist=must_exist) if path else []
    alone = any(item.way == ALONE and item.value is True for item in written)
    layers = [
        written,
        [] if alone else read_environment(environ, known, findings),
        read_flags(overrides, known, findings),
    ]
    home = home_of(path)
    given = with_secret_files(merged(layers), known, findings, home, credentials=environ.get("CREDENTIALS_DIRECTORY"))
    settings = checked(given, known, findings, home, written_in=str(path) if path else "settings")
    if not alone:  # what lies in the working directory is nothing to a rehearsal
        refuse_left_behind(given, settings)
    return settings
