"""``settings.yaml`` as a list of given values, each with its line. What YAML would silently change is an error.

Read with PyYAML's safe loader, node by node: only nodes know lines, repeated keys, and how a value was written before
YAML turned it into a number, a date or a truth value. Aliases and tags are refused: settings need neither.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from engine.model.command import Command
from engine.reading.findings import Findings, Given, Unusable, is_private, shown
from engine.reading.keys import REMOVED, Key, Way, nearest

MAX_BYTES = 1_000_000
INIT = (Command("init"), "   writes a commented one")


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            next_event: Callable[[], Any] = self.peek_event
            fault = "aliases (*name) are not used here; write the value"
            raise yaml.composer.ComposerError(None, None, fault, next_event().start_mark)
        compose: Callable[[yaml.Node | None, Any], yaml.Node | None] = super().compose_node
        return compose(parent, index)


def is_open_to_others(mode: int) -> bool:
    """Whether the permission bits let the group or others in. Windows has no such bits."""
    return os.name == "posix" and bool(stat.S_IMODE(mode) & 0o077)


def read_file(path: Path, known: dict[Way, Key], findings: Findings, *, must_exist: bool) -> list[Given]:
    """The values in the file. Problems go to ``findings``; nothing is raised."""
    before = len(findings)
    values = list(_read(path, known, findings, must_exist=must_exist))
    findings.file_is_lost = not values and len(findings) > before
    return values


def _read(path: Path, known: dict[Way, Key], findings: Findings, *, must_exist: bool) -> Iterator[Given]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if must_exist:
            findings.add(str(path), "there is no such file; --config names another")
            findings.hint = INIT
        return
    except OSError as error:
        findings.add(str(path), f"cannot be read: {error.strerror}; --config names another file")
        return
    if len(content) > MAX_BYTES:
        findings.add(str(path), f"is larger than {MAX_BYTES:,} bytes; that is no settings file")
        return
    yield from _Document(path, mode, known, findings).values(content)


class _Document:
    def __init__(self, path: Path, mode: int, known: dict[Way, Key], findings: Findings) -> None:
        self._path, self._mode, self._known, self._findings = path, mode, known, findings
        self._construct: Callable[..., Any] = yaml.SafeLoader("").construct_object

    def values(self, content: bytes) -> Iterator[Given]:
        root = self._parsed(content)
        if root is None:
            return
        if not isinstance(root, yaml.MappingNode):
            self._findings.add(self._at(root), "holds no `key: value` lines at its top")
            self._findings.hint = INIT
            return
        yield from self._section(root, ())

    def _parsed(self, content: bytes) -> yaml.Node | None:
        try:
            text = content.decode("utf-8-sig")
            loader = _Loader(text)
            try:
                root = loader.get_single_node()
            finally:
                loader.dispose()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._findings.add(f"{self._path}:{line}", "is not UTF-8 text; save it as UTF-8")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._findings.add(f"{self._path}:{line}", "holds a control character; delete it")
        except yaml.MarkedYAMLError as error:
            self._findings.add(*self._syntax(error))
        except RecursionError:
            self._findings.add(str(self._path), "is nested too deep to be settings")
        else:
            if root is None or self._is_null(root):
                self._findings.add(str(self._path), "is empty")
                self._findings.hint = INIT
                return None
            return root
        return None

    def _syntax(self, error: yaml.MarkedYAMLError) -> tuple[str, str]:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "is not YAML"
        if error.context and problem.startswith("but "):
            problem = f"{error.context} {problem}"
        where = f"{self._path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self._path)
        if "'\\t'" in problem:
            return where, "holds a tab; indent with spaces"
        # only the parser's own words: quoted text may come from the file, and may be a secret
        problem = re.sub(r"'(?!<)[^']{3,}'|\"[^\"]*\"", "…", problem)
        return where, f"not valid YAML: {problem}; quote values that hold any of : # {{ }} [ ] , & * ! | > ' \" % @ `"

    def _section(self, node: yaml.MappingNode, way: Way) -> Iterator[Given]:
        lines: dict[str, int] = {}
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            here, line = (*way, name), name_node.start_mark.line + 1
            if name in lines:
                text = f"{'.'.join(here)} is written twice, first on line {lines[name]}; keep one"
                self._findings.add(self._at(name_node), text, here)
                continue
            lines[name] = line
            key = self._known.get(here)
            if here in REMOVED:
                if self._is_null(value_node):  # as `engine init` wrote it: it asked for nothing
                    continue
                text = f"{'.'.join(here)} was removed: {REMOVED[here]}; delete this line"
                self._findings.add(self._at(name_node), text)
            elif key is None:
                near = nearest(here, self._known)
                text = f"{shown('.'.join(here))} is not a setting; the nearest is {near.dotted}"
                self._findings.add(self._at(name_node), text)
            elif key.is_section and isinstance(value_node, yaml.MappingNode):
                yield from self._section(value_node, here)
            elif key.is_section and self._is_null(value_node):
                yield from [Given(here, None, self._at(name_node))] if key.nullable else []
            else:
                yield from self._setting(key, value_node)

    def _setting(self, key: Key, node: yaml.Node) -> Iterator[Given]:
        try:
            value = self._value(key, node)
        except Unusable as unusable:
            self._findings.add(self._at(node), f"{key.dotted} {unusable}", key.way)
            return
        if value is not None and is_private(key, value) and is_open_to_others(self._mode):
            how = "is a secret" if key.is_secret else "holds a user name or password"
            other = f", or {key.way[-1]}_file: PATH" if key.is_secret else ""
            text = (
                f"{key.dotted} {how}, and the file's mode is {stat.S_IMODE(self._mode):04o}: "
                f"chmod 600 {shlex.quote(str(self._path))}, or use {key.variable}{other} instead"
            )
            self._findings.add(self._at(node), text, key.way)
            return
        yield Given(key.way, value, self._at(node))

    def _value(self, key: Key, node: yaml.Node) -> Any:
        if key.is_section:
            raise Unusable("is a section; write its keys indented below it")
        if self._is_null(node):
            if key.nullable:
                return None
            raise Unusable(
                "has no value; write one" + (", [] for none," if key.is_list else "") + " or delete the line"
            )
        if key.is_list:
            if not isinstance(node, yaml.SequenceNode):
                raise Unusable("must be a list, such as [a, b]")
            return [self._scalar(key, key.items, item) for item in node.value]
        if key.is_mapping:
            if not isinstance(node, yaml.MappingNode):
                raise Unusable("must hold `key: value` lines, or {} for none")
            return _plain(self._constructed(node))
        return self._scalar(key, key.wants, node)

    def _scalar(self, key: Key, wants: frozenset[type], node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise Unusable("must be one value; put text that starts with { or [ in quotes")
        value = self._constructed(node)
        if isinstance(value, str) or key.way == ("salesforce", "api_version"):
            return value
        kind = (
            "a truth value" if isinstance(value, bool) else "a number" if isinstance(value, int | float) else "a date"
        )
        if value is None or (wants & {str, Path, SecretStr} and (int not in wants or type(value) is not int)):
            kind = "nothing" if value is None else kind
            quoted = "quotes" if key.is_secret else f'quotes: "{shown(node.value)[1:-1]}"'
            raise Unusable(f"is read by YAML as {kind}; put it in {quoted}")
        if isinstance(value, bool) and bool not in wants:
            raise Unusable(f"must be a number, and YAML reads {node.value} as {str(value).lower()}")
        return value

    def _constructed(self, node: yaml.Node) -> Any:
        try:
            return self._construct(node, deep=True)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise Unusable("looks like a date, number or tag to YAML, but is none; put it in quotes") from error

    @staticmethod
    def _is_null(node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"

    def _at(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"


def _plain(value: Any) -> Any:
    """YAML's values as JSON knows them: dates become text."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else value
