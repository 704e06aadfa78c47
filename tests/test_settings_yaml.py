"""The committed settings.yaml: complete, true to the defaults, free of secrets, and what `engine init` writes."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from engine.model.errors import Usage
from engine.reading.load import load_settings
from engine.reading.template import settings_text
from engine.runs.rehearsal.init import write_settings
from engine.settings import ResolverSettings, Settings

COMMITTED = Path(__file__).parent.parent / "settings.yaml"


def fields(section: type[BaseModel], way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting outside the resolver, which is null by default."""
    for name, field in section.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from fields(nested, (*way, name))
        else:
            yield (*way, name), field


FIELDS = dict(fields(Settings))


def written(way: tuple[str, ...]) -> Any:
    value = yaml.safe_load(COMMITTED.read_text())
    for name in way:
        value = value[name]
    return value


def comment_of(way: tuple[str, ...]) -> str:
    """A setting's line, and the comment line above it where the value leaves no room beside it."""
    lines = COMMITTED.read_text().split(f"\n{way[0]}:", 1)[1].split("\n\n")[0].splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{way[-1]}:"))
    return lines[at - 1] + lines[at]


def test_the_committed_file_is_what_the_model_says_today() -> None:
    assert COMMITTED.read_text() == settings_text(), "write it anew with `engine init --config settings.yaml --force`"


def test_it_loads_as_it_stands() -> None:
    settings = load_settings(COMMITTED, environ={}, overrides={})

    assert (settings.destination.bucket, settings.source.buckets) == ("my-documents", ["trackland-doc-storage"])


@pytest.mark.parametrize("way", FIELDS, ids=".".join)
def test_it_holds_every_setting_with_its_default_unless_it_says_example(way: tuple[str, ...]) -> None:
    field = FIELDS[way]

    if field.examples:
        assert written(way) == field.examples[0]
        assert "; example; " in comment_of(way)
    else:
        default: Any = Settings.model_validate({"destination": {"bucket": "my-documents"}}).model_dump(mode="json")
        for name in way:
            default = default[name]
        assert written(way) == default


def test_it_holds_nothing_that_is_no_setting() -> None:
    document = yaml.safe_load(COMMITTED.read_text())
    ways = {(section, key) for section, keys in document.items() for key in keys}

    assert ways | {("prices",)} == set(FIELDS)


def test_the_resolver_stands_ready_to_be_uncommented() -> None:
    text = settings_text()
    start = text.index("  # resolver:\n")
    end = text.index("\n  endpoint_url:", start)
    block = "\n".join(line.replace("  # ", "  ", 1) for line in text[start:end].splitlines())

    assert set(yaml.safe_load(block)["resolver"]) == set(ResolverSettings.model_fields)


def test_every_secret_names_its_variable() -> None:
    text = settings_text()

    for variable in ("SALESFORCE__CLIENT_SECRET", "SOURCE__SECRET_ACCESS_KEY", "SOURCE__RESOLVER__TOKEN"):
        assert f"ENGINE_{variable}" in text


def test_no_line_is_too_long_to_read() -> None:
    assert max(len(line) for line in settings_text().splitlines()) <= 120


class TestInit:
    def test_it_writes_the_committed_text_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.yaml"

        write_settings(path)

        assert path.read_text() == COMMITTED.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [path]

    def test_it_never_overwrites(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.yaml"
        path.write_text("mine")

        with pytest.raises(Usage, match="exists and was left as it is"):
            write_settings(path)

        assert path.read_text() == "mine"
        assert list(tmp_path.iterdir()) == [path]

    def test_it_overwrites_when_forced_and_then_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.yaml"
        path.write_text("mine")
        path.chmod(0o644)

        write_settings(path, force=True)

        assert path.read_text() == COMMITTED.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_it_does_not_write_through_a_link(self, tmp_path: Path) -> None:
        path, elsewhere = tmp_path / "settings.yaml", tmp_path / "elsewhere"
        path.symlink_to(elsewhere)

        with pytest.raises(Usage):
            write_settings(path)

        assert not elsewhere.exists()

    def test_a_folder_that_does_not_exist_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(Usage, match="cannot be written: No such file or directory"):
            write_settings(tmp_path / "no" / "settings.yaml")
