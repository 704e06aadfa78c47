"""JSON rows of a query → Records. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from engine.model.errors import Fatal
from engine.model.ids import to18
from engine.model.record import Record
from engine.pacing.clock import iso
from engine.salesforce import soql
from engine.settings import SalesforceSettings

MODIFIED = "SystemModstamp"
_USUAL = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}\+0000", re.ASCII)


class Rows:
    """Which fields to ask for, and how to read what comes back.

    Salesforce answers in the case of its schema, not of the query, so fields are looked up without case.
    """

    def __init__(self, settings: SalesforceSettings, extra_fields: Sequence[str] = ()) -> None:
        self._name = soql.name(settings.name_field).lower().split(".")
        self._url = soql.name(settings.url_field).lower().split(".")
        self._account = soql.name(settings.account_field).lower().split(".")
        self._account_name = soql.name(settings.account_name_field).lower().split(".")
        self._modified = [MODIFIED.lower()]
        self._extra = [(field, soql.name(field).lower().split(".")) for field in extra_fields]
        self.fields = soql.named(
            [
                "Id",
                settings.name_field,
                settings.url_field,
                settings.account_field,
                settings.account_name_field,
                MODIFIED,
                *extra_fields,
            ]
        )

    def record(self, row: Mapping[str, Any]) -> Record:
        """The Record of one row. Raises Fatal for a row whose Id is not one."""
        flat = {key.lower(): value for key, value in row.items()}
        return Record(
            id=id_of(row),
            name=text(_at(flat, self._name)),
            url=text(_at(flat, self._url)),
            account_id=canonical(text(_at(flat, self._account))),
            account_name=text(_at(flat, self._account_name)),
            modified=moment(text(_at(flat, self._modified))),
            extra=tuple((field, text(_at(flat, path))) for field, path in self._extra),
        )


def id_of(row: Mapping[str, Any]) -> str:
    """The 18-character Id of a row. Raises Fatal when there is none: such an answer cannot be trusted at all."""
    try:
        return to18(row["Id"])
    except (KeyError, TypeError, ValueError):
        raise Fatal("a Salesforce row came without a valid Id") from None


@lru_cache(maxsize=4096)
def canonical(text_id: str) -> str:
    """The 18-character form; whatever is no id stays as it is (an account field may hold any text)."""
    try:
        return to18(text_id)
    except ValueError:
        return text_id


def moment(value: str) -> str:
    """``2013-05-07T22:07:19.000+0000`` → ``2013-05-07T22:07:19.000Z``; empty for no time at all."""
    if _USUAL.fullmatch(value):
        return value[:-5] + "Z"
    try:
        return iso(datetime.fromisoformat(value)) if value else ""
    except ValueError:
        raise Fatal("a Salesforce row came with a SystemModstamp that is no time") from None


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


def _at(flat: Mapping[str, Any], path: Sequence[str]) -> object:
    """The value at a path of lower-case names; None below an empty or invisible parent."""
    value: object = flat.get(path[0])
    for step in path[1:]:
        if not isinstance(value, dict):
            return None
        value = next((item for key, item in value.items() if key.lower() == step), None)
    return value
