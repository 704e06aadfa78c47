"""Writing through the API: what the service checks on each row, in its words, before it touches the world."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.model.ids import is_id, to18
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.schema import IDS, NUMERIC, TEXTUAL, Field, SObject
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, parser_error
from engine.rehearsal.salesforce.world import stored

_LOCKED = "unable to obtain exclusive access to this record or 1 records: {}"


@dataclass(slots=True)
class Change:
    """One row a caller wants written; ``id`` is None for a new row. ``errors`` fill up as it is checked."""

    sobject: SObject
    id: Any
    values: Mapping[str, Any]
    creating: bool = False
    row: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)

    def fail(self, code: str, message: str, fields: Sequence[str] = ()) -> None:
        """Note why this row cannot be written."""
        self.errors.append({"statusCode": code, "message": message, "fields": list(fields)})

    def result(self) -> dict[str, Any]:
        """The row's part of a collections answer; a failed row has no id."""
        if self.errors:
            return {"success": False, "errors": self.errors}
        return {"id": self.id, "success": True, "errors": []}


def update(org: Org, request: ApiRequest, changes: Sequence[Change], *, all_or_none: bool) -> None:
    """Check and write rows that exist; each change then has its errors or is done. Raises ApiError for the whole."""
    for change in changes:
        _read_values(change)
    _check_ids(changes)
    _check_rows(org, request, changes)
    _check_references(org, changes)
    _check_rules(changes)
    if all_or_none:
        _roll_back(changes)
    behind = _rewrite(org, changes, request.user_id())
    for sobject, good in _grouped(changes):
        org.world.update(sobject, [(change.id, change.row) for change in good], request.user_id())
        request.ids_written += [change.id for change in good]
    for act in behind:
        act()


def create(org: Org, request: ApiRequest, changes: Sequence[Change], *, all_or_none: bool) -> None:
    """Check and insert new rows; each good change receives its id. Raises ApiError for the whole."""
    for change in changes:
        change.creating = True
        if change.id is not None:
            change.fail("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", ["Id"])
        _read_values(change)
        missing = [
            item.name
            for item in change.sobject.fields
            if not item.nillable and item.createable and item.name != "OwnerId" and change.row.get(item.name) is None
        ]
        if missing and not change.errors:
            change.fail("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
    _check_references(org, changes)
    _check_rules(changes)
    if all_or_none:
        _roll_back(changes)
    for sobject, good in _grouped(changes):
        rows = [
            change.row if "OwnerId" in change.row else {**change.row, "OwnerId": request.user_id()} for change in good
        ]
        for change, row_id in zip(good, org.world.insert(sobject, rows, request.user_id()), strict=True):
            change.id = row_id
            request.ids_written.append(row_id)


def delete(org: Org, request: ApiRequest, changes: Sequence[Change], *, all_or_none: bool) -> None:
    """Move rows to the recycle bin."""
    _check_ids(changes)
    _check_rows(org, request, changes)
    if all_or_none:
        _roll_back(changes)
    good = [change.id for change in changes if not change.errors]
    org.world.set_deleted(good, deleted=True, user_id=request.user_id())
    request.ids_written += good


def _read_values(change: Change) -> None:
    """Turn JSON values into column values; raises ApiError 400 for fields and types the parser would refuse."""
    for name, value in change.values.items():
        item = change.sobject.field(name)
        if item is None:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {change.sobject.name}")
        _check_json_type(item, value)
        if not (item.createable if change.creating else item.updateable):
            change.fail(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {item.name}. Please check the security settings of this field and "
                "verify that it is read/write for your profile or permission set.",
                [item.name],
            )
            continue
        change.row[item.name] = _column_value(change, item, value)


def _column_value(change: Change, item: Field, value: Any) -> Any:
    if item.type in TEXTUAL and isinstance(value, str):
        value = value.strip() or None
        if value is not None and _utf16_length(value) > item.length:
            change.fail(
                "STRING_TOO_LONG",
                f"{item.label}: data value too large: {value} (max length={item.length})",
                [item.name],
            )
            return None
    if value is None and not item.nillable and not change.creating:
        change.fail("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{item.name}]", [item.name])
    try:
        return stored(item, value)
    except ValueError as error:
        if item.type in IDS:
            change.fail("MALFORMED_ID", f"{item.label}: id value of incorrect type: {value}", [item.name])
            return None
        raise parser_error(f"Cannot deserialize instance of {item.type} from VALUE_STRING value {value}") from error


def _check_json_type(item: Field, value: Any) -> None:
    if value is None:
        return
    if item.type == "boolean":
        fits = isinstance(value, bool)
    elif item.type in NUMERIC:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise parser_error(f"Cannot deserialize instance of {item.type} from value {value}")


def _check_ids(changes: Sequence[Change]) -> None:
    seen: set[str] = set()
    for change in changes:
        if change.id is None:
            change.fail("MISSING_ARGUMENT", "Id not specified in an update call", ["Id"])
        elif not isinstance(change.id, str) or not is_id(change.id) or change.id[:3] != change.sobject.key_prefix:
            change.fail("MALFORMED_ID", f"{change.sobject.label} ID: id value of incorrect type: {change.id}", ["Id"])
        else:
            change.id = to18(change.id)
            if change.id in seen:
                change.fail("DUPLICATE_VALUE", f"duplicate id in the request: {change.id}", ["Id"])
            seen.add(change.id)


def _check_rows(org: Org, request: ApiRequest, changes: Sequence[Change]) -> None:
    target = request.target()
    for sobject, good in _grouped(changes):
        ids = [change.id for change in good]
        present = org.world.fetch(sobject, ids, ["IsDeleted"])
        field = org.settings.lock_parent
        parents = org.world.parents(ids, field) if request.taken and field is not None else {}
        for change in good:
            if change.id not in present or change.id in org.hidden_ids:
                change.fail("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            elif present[change.id][0]:
                change.fail("ENTITY_IS_DELETED", "entity is deleted")
            elif change.id in org.read_only_ids or not sobject.updateable:
                change.fail("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
            elif parents.get(change.id) in request.taken:
                change.fail("UNABLE_TO_LOCK_ROW", _LOCKED.format(parents[change.id]))
            elif org.faults.row_locked(request.name, target, change.id):
                change.fail("UNABLE_TO_LOCK_ROW", _LOCKED.format(change.id))


def _check_references(org: Org, changes: Sequence[Change]) -> None:
    for sobject, good in _grouped(changes):
        for item in sobject.fields:
            if item.type != "reference":
                continue
            pointing = [change for change in good if change.row.get(item.name) is not None]
            if not pointing:
                continue
            wanted = sorted({change.row[item.name] for change in pointing})
            known: set[str] = set()
            for name in item.reference_to:
                rows = org.world.fetch(org.schema.get(name), wanted, ["IsDeleted"])
                known |= {row_id for row_id, (deleted,) in rows.items() if not deleted}
            for change in pointing:
                if change.row[item.name] not in known:
                    change.fail("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [item.name])


def _check_rules(changes: Sequence[Change]) -> None:
    for change in changes:
        for rule in change.sobject.rules:
            value = change.row.get(rule.field)
            if not change.errors and value is not None and re.search(rule.pattern, str(value)):
                change.fail(rule.code, rule.message, [rule.field])


def _rewrite(org: Org, changes: Sequence[Change], user_id: str) -> list[Callable[[], None]]:
    """What automation makes of these rows. Returns what it does right behind their transaction."""
    behind: list[Callable[[], None]] = []
    if (rewriting := org.rewriting) is None:
        return behind
    for sobject, good in _grouped(changes):
        if sobject.column(rewriting.field) is None:
            continue
        before = org.world.fetch(sobject, [change.id for change in good], [rewriting.field])
        made = {change.id: rewriting.of(change.id, change.row, before[change.id][0]) for change in good}
        if rewriting.when == "within":
            for change in good:
                change.row = made[change.id]
            continue
        own = [(change.id, made[change.id]) for change in good if made[change.id] != change.row]
        act = partial(org.world.update, sobject, own, rewriting.user or user_id)
        (behind if rewriting.when == "behind" else org.later).append(act)
    return behind


def _roll_back(changes: Sequence[Change]) -> None:
    if any(change.errors for change in changes):
        for change in changes:
            if not change.errors:
                change.fail(
                    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                    "Record rolled back because not all records were valid and the request was using AllOrNone header",
                )


def _grouped(changes: Sequence[Change]) -> list[tuple[SObject, list[Change]]]:
    groups: dict[str, tuple[SObject, list[Change]]] = {}
    for change in changes:
        if not change.errors:
            groups.setdefault(change.sobject.name, (change.sobject, []))[1].append(change)
    return list(groups.values())


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
