"""The settings of one command: flags over environment over file over defaults, or one Usage error with all problems.

pydantic checks the merged tree. pydantic-settings does not read the sources, because it passes on bare dictionaries:
then no message could name the line, variable or flag of a value, and repeated YAML keys would go unnoticed.

pydantic and PyYAML are imported only when settings are loaded, so that ``engine --help`` need not import them.
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
    means that the flag was not given. A file with ``network.loopback_only`` is for a rehearsal: ``environ`` is not
    read, whatever is exported for the real org.

    Raises Usage that names every problem with key, value (never a secret's), place and remedy; Blocked where the
    tracking DB is still where earlier versions looked for it.
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
    if not alone:  # a rehearsal ignores the working directory
        refuse_left_behind(given, settings)
    return settings
