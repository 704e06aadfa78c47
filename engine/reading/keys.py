"""Which settings exist, and what the loader knows of a key before it looks at its value.

All of it is read from the models in ``engine/settings``, so that a new field needs no second entry anywhere.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from engine.model import suggest
from engine.settings import Settings

Way = tuple[str, ...]
"""The names from the top to a setting, such as ``("salesforce", "auth")``."""

REMOVED: dict[Way, str] = {("switch", "bulk_rollback_from"): "a rollback no longer uses bulk jobs"}
"""Settings of earlier versions, and why they are gone."""

ENVIRONMENT = "ENGINE_"
FILE = "_file"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting, or a section of them. ``wants`` and ``items`` are the plain types of its value and its elements."""

    way: Way
    wants: frozenset[type]
    items: frozenset[type] = frozenset()
    nullable: bool = False
    holds_secret_of: Way | None = None  # of client_secret_file: the way of client_secret
    is_setting: bool = False  # of a ..._file: the path is a setting too

    @property
    def dotted(self) -> str:
        return ".".join(self.way)

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return variable(self.way)

    @property
    def is_section(self) -> bool:
        return BaseModel in self.wants

    @property
    def is_secret(self) -> bool:
        return SecretStr in self.wants

    @property
    def is_list(self) -> bool:
        return list in self.wants

    @property
    def is_mapping(self) -> bool:
        return dict in self.wants


def variable(way: Way) -> str:
    """The environment variable of a setting: ``ENGINE_SALESFORCE__CLIENT_SECRET``."""
    return ENVIRONMENT + "__".join(way).upper()


def known_keys() -> dict[Way, Key]:
    """Every section and setting, and beside each secret the ``…_file`` that may hold it."""
    return {key.way: key for key in _walk(Settings, ())}


def _walk(section: type[BaseModel], way: Way) -> Iterator[Key]:
    for name, field in section.model_fields.items():
        here = (*way, name)
        wants, items, nested = _plain(field.annotation)
        nullable = type(None) in wants
        key = Key(here, frozenset(wants - {type(None)}), frozenset(items), nullable)
        of = name.removesuffix(FILE)
        if of != name and of in section.model_fields:
            key = replace(key, holds_secret_of=(*way, of), is_setting=True)
        yield key
        if nested:
            yield from _walk(nested, here)
        if key.is_secret and name + FILE not in section.model_fields:
            yield Key((*way, name + FILE), frozenset({Path}), nullable=True, holds_secret_of=here)


def _plain(annotation: Any) -> tuple[set[type], set[type], type[BaseModel] | None]:
    """The plain types of an annotation, those of its elements, and the model where it names one."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain(arguments[0])
    if origin is Literal:
        return {str}, set(), None
    if origin in {Union, types.UnionType}:
        parts = [_plain(argument) for argument in arguments]
        nested = next((part[2] for part in parts if part[2]), None)
        return set().union(*(part[0] for part in parts)), set().union(*(part[1] for part in parts)), nested
    if origin in {list, tuple}:
        return {list}, _plain(arguments[0])[0], None
    if origin is dict:
        return {dict}, set(), None
    if issubclass(annotation, BaseModel):
        return {BaseModel}, set(), annotation
    return {annotation}, set(), None


def nearest(way: Way, known: dict[Way, Key]) -> Key:
    """The setting that was most likely meant by an unknown key."""
    for key in known.values():  # one underscore where the environment needs two
        if "_".join(key.way) == "_".join(way):
            return key
    siblings = {key.way[-1]: key for key in known.values() if key.way[:-1] == way[:-1]}
    if close := suggest.nearest(way[-1], siblings, cutoff=0.7):
        return siblings[close]
    for key in known.values():  # the right name in the wrong section
        if key.way[-1] == way[-1]:
            return key
    anywhere = {key.dotted: key for key in known.values()}
    return anywhere[suggest.nearest(".".join(way), anywhere, cutoff=0) or min(anywhere)]
