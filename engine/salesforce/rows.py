"""JSON rows of a query → Records. Pure."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from engine.limiting.clock import iso
from engine.model.errors import Fatal
from engine.model.ids import to18
from engine.model.record import Record
from engine.salesforce import soql
from engine.settings import RecordSettings

MODIFIED = "SystemModstamp"
_usual = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}\+0000", re.ASCII).fullmatch
_SHAPES = 64
"""Sets of keys that are remembered; a scan has one."""
_Read = Callable[[Mapping[str, Any]], object]


class Rows:
    """Which fields to ask for, and how to read what comes back.

    Salesforce spells fields as its schema does, not as the query does, so they are looked up without case.
    """

    def __init__(self, records: RecordSettings, extra_fields: Sequence[str] = ()) -> None:
        asked = (records.name_field, records.url_field, records.account_field, records.account_name_field, MODIFIED)
        self._paths = tuple(_steps(field) for field in asked)
        self._extra = tuple((field, _steps(field)) for field in extra_fields)
        self._readers: dict[tuple[str, ...], tuple[_Read, ...]] = {}
        self.fields = soql.named(["Id", *asked, *extra_fields])

    def record(self, row: Mapping[str, Any]) -> Record:
        """The Record of one row. Raises Fatal for a row whose Id is not one."""
        keys = tuple(row)
        readers = self._readers.get(keys) or self._learn(keys)
        name, url, account_id, account_name, modified = [
            value if type(value := read(row)) is str else text(value) for read in readers
        ]
        return Record(
            id_of(row),
            name,
            url,
            canonical(account_id),
            account_name,
            f"{modified[:-5]}Z" if _usual(modified) else moment(modified),
            tuple([(field, text(_at(row, path))) for field, path in self._extra]) if self._extra else (),
        )

    def _learn(self, keys: tuple[str, ...]) -> tuple[_Read, ...]:
        """How to read rows with these keys. All rows of a scan have the same keys, so names are matched only once."""
        if len(self._readers) >= _SHAPES:
            self._readers.clear()
        spelled = {key.lower(): key for key in keys}
        self._readers[keys] = readers = tuple(_reader(path, spelled) for path in self._paths)
        return readers


def _reader(path: Sequence[str], spelled: Mapping[str, str]) -> _Read:
    """A function that reads the value at a path from a row with these keys."""
    key = spelled.get(path[0])
    if key is None:
        return lambda _row: None
    if len(path) == 1:
        return operator.itemgetter(key)
    below = path[1:]
    return lambda row: _at(row[key], below)


def _steps(field: str) -> tuple[str, ...]:
    return tuple(soql.name(field).lower().split("."))


def id_of(row: Mapping[str, Any]) -> str:
    """The 18-character Id of a row. Raises Fatal when there is none: then the whole answer cannot be trusted."""
    try:
        return to18(row["Id"])
    except (KeyError, TypeError, ValueError):
        raise Fatal("a Salesforce row has no valid Id") from None


@lru_cache(maxsize=4096)
def canonical(text_id: str) -> str:
    """The 18-character form of an id; other text stays as it is (an account field may hold any)."""
    try:
        return to18(text_id)
    except ValueError:
        return text_id


def moment(value: str) -> str:
    """``2013-05-07T22:07:19.000+0000`` → ``2013-05-07T22:07:19.000Z``; empty for empty."""
    if _usual(value):
        return value[:-5] + "Z"
    try:
        return iso(datetime.fromisoformat(value)) if value else ""
    except ValueError:
        raise Fatal("a Salesforce row has a SystemModstamp that is not a time") from None


def text(value: object) -> str:
    """A field's value as text: strings untouched, null empty, whole numbers without a fraction."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else json.dumps(value)


def _at(value: object, path: Sequence[str]) -> object:
    """The value at a path of lower-case names; None below an empty or invisible parent."""
    for step in path:
        if not isinstance(value, dict):
            return None
        for key, item in value.items():
            if key == step or key.lower() == step:
                value = item
                break
        else:
            return None
    return value
