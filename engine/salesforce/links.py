"""Reading and writing links: 2,000 in a read, 200 in a write, 25 in a strict write.

A write is sent once. Where it is open whether it was carried out (no answer, a 5xx, an answer cut short), it raises
Transient: the record may still change for as long as Salesforce lets a call run. A row that failed by itself was
certainly not written. Nor was any row of a request that never got there, or that Salesforce itself turned away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from engine.model.change import Held, Said, Sent
from engine.model.errors import Blocked, Fatal, Paused, Refused, Transient
from engine.model.failures import FailureClass
from engine.model.ids import to18
from engine.salesforce import soql
from engine.salesforce.faults import NotDone, Problem, QueryTooSlow, Unreachable, by_code, shortened
from engine.salesforce.rows import MODIFIED, text
from engine.salesforce.session import ATTEMPTS, SalesforceSession

MOST_READ = 2_000
MOST_WRITTEN = 200
MOST_STRICT = 25
_BY, _CHANGED = "LastModifiedById", "LastModifiedDate"
_ALL_ALIKE = frozenset({"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER"})
"""When automation fails, it fails for all rows of a chunk, whichever row caused it."""


class SalesforceLinks:
    """The URL field of the records: the only field that this program ever writes."""

    def __init__(self, session: SalesforceSession, object_name: str, url_field: str) -> None:
        self._session = session
        self._object = soql.name(object_name)
        self._field = soql.name(url_field)

    async def read(self, ids: Sequence[str]) -> dict[str, Held | None]:
        """What these records hold now; None: deleted, or not visible. Raises Transient after the last try, Fatal."""
        held: dict[str, Held | None] = {}
        us = await self._session.user()
        for start in range(0, len(ids), MOST_READ):
            chunk = list(ids[start : start + MOST_READ])
            body = {"ids": chunk, "fields": ["Id", self._field, MODIFIED, _BY, _CHANGED]}
            path = f"composite/sobjects/{self._object}"
            try:
                answer = await self._session.post_json(path, body, doing="read links", attempts=ATTEMPTS)
            except Refused as error:
                raise Blocked(str(error), hint="Nothing was changed by that request.") from error
            held |= self._held(chunk, answer, us)
        return held

    async def write(self, changes: Sequence[tuple[str, str]]) -> list[Said]:
        """Set these links (record, link), up to 200, each on its own; one answer each, in order.

        Raises Transient where it is open what was written, Paused and Blocked where nothing was.
        """
        assert 0 < len(changes) <= MOST_WRITTEN, len(changes)
        kind = {"type": self._object}
        records = [{"attributes": kind, "id": record, self._field: link} for record, link in changes]
        body = {"allOrNone": False, "records": records}
        try:
            answer = await self._session.patch_json("composite/sobjects", body, doing="update links")
        except (Unreachable, NotDone) as error:
            return [Said(Sent.NOT_DONE, error.failure, str(error))] * len(changes)
        except QueryTooSlow as error:
            raise _odd("an update of links", error) from error
        if not isinstance(answer, list) or len(answer) != len(changes):
            raise _odd("an update of links")
        said = [_row(record, item) for (record, _), item in zip(changes, answer, strict=True)]
        together = len(said) > 1 and all(each.sent is Sent.APART for each in said)
        return said if together else [_alone(each) for each in said]

    async def write_strictly(self, changes: Sequence[tuple[str, str, str]]) -> list[Said]:
        """Set these links (record, link, SystemModstamp as read), up to 25, each only if its record has not changed
        since. Salesforce compares whole seconds: an edit in the same second as the one before it stays unseen."""
        assert 0 < len(changes) <= MOST_STRICT, len(changes)
        parts = [
            {
                "method": "PATCH",
                "url": self._session.versioned(f"sobjects/{self._object}/{record}"),
                "referenceId": f"r{place}",
                "httpHeaders": {"If-Unmodified-Since": _http_date(modified)},
                "body": {self._field: link},
            }
            for place, (record, link, modified) in enumerate(changes)
        ]
        body = {"allOrNone": False, "compositeRequest": parts}
        try:
            answer = await self._session.post_json("composite", body, doing="update links strictly")
        except (Unreachable, NotDone) as error:
            return [Said(Sent.NOT_DONE, error.failure, str(error))] * len(changes)
        except QueryTooSlow as error:
            raise _odd("a strict update of links", error) from error
        items = answer.get("compositeResponse") if isinstance(answer, dict) else None
        if not isinstance(items, list) or len(items) != len(changes):
            raise _odd("a strict update of links")
        return [_part(f"r{place}", item) for place, item in enumerate(items)]

    def _held(self, ids: Sequence[str], answer: Any, us: str) -> dict[str, Held | None]:
        if not isinstance(answer, list) or len(answer) != len(ids):
            raise _odd("a read of links")
        held: dict[str, Held | None] = {}
        for record, row in zip(ids, answer, strict=True):
            if row is None:
                held[record] = None
                continue
            values = {key.lower(): value for key, value in row.items()} if isinstance(row, dict) else {}
            if _id(values.get("id")) != record or self._field.lower() not in values:
                raise Fatal("Salesforce answered a read of links with other records", hint="Nothing was changed.")
            by = _id(values.get(_BY.lower()))
            link, modified = text(values[self._field.lower()]), text(values.get(MODIFIED.lower()))
            held[record] = Held(link, modified, by, bool(by) and by == us, text(values.get(_CHANGED.lower())))
        return held


def _row(record: str, item: Any) -> Said:
    """One row of a collections answer, found by its place: failed rows carry no id."""
    if not isinstance(item, dict):
        return Said(Sent.UNKNOWN)
    if item.get("success") is True:
        return Said(Sent.DONE) if _id(item.get("id")) == record else Said(Sent.UNKNOWN)
    if item.get("success") is not False:
        return Said(Sent.UNKNOWN)
    return _refusal(item.get("errors"))


def _part(reference: str, item: Any) -> Said:
    if not isinstance(item, dict) or item.get("referenceId") != reference:
        return Said(Sent.UNKNOWN)
    status = item.get("httpStatusCode")
    if status == 204:
        return Said(Sent.DONE)
    if status == 412:
        return Said(Sent.MOVED)
    if not isinstance(status, int) or status >= 500 or status < 400:
        return Said(Sent.UNKNOWN)
    return _alone(_refusal(item.get("body")))


def _refusal(errors: Any) -> Said:
    """What the refusal of one row means."""
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    code = str(first.get("statusCode") or first.get("errorCode") or "")
    message = str(first.get("message") or "no reason given")
    shown = shortened(f"{code}: {message}" if code else message)
    error = by_code(Problem(code, message), shown)
    if isinstance(error, Transient):
        return Said(Sent.APART if code in _ALL_ALIKE else Sent.AGAIN, error.failure, shown)
    if code in _ALL_ALIKE:
        return Said(Sent.APART, FailureClass.REJECTED, shown)
    if isinstance(error, Refused):
        return Said(Sent.REFUSED, error.failure, shown)
    if isinstance(error, Blocked | Paused) and code not in {"MALFORMED_ID", "INSUFFICIENT_ACCESS"}:
        return Said(Sent.STOP, FailureClass.REJECTED, shown)
    return Said(Sent.REFUSED, FailureClass.REJECTED, shown)


def _alone(said: Said) -> Said:
    if said.sent is not Sent.APART:
        return said
    return said._replace(sent=Sent.REFUSED if said.failure is FailureClass.REJECTED else Sent.AGAIN)


def _id(value: object) -> str:
    try:
        return to18(value) if isinstance(value, str) else ""
    except ValueError:
        return ""


def _http_date(modified: str) -> str:
    return format_datetime(datetime.fromisoformat(modified.replace("+0000", "+00:00")), usegmt=True)


def _odd(what: str, error: QueryTooSlow | None = None) -> Transient:
    """An answer that tells nothing. A write that ran out of time may have been carried out in part."""
    return Transient(FailureClass.NETWORK, str(error or f"Salesforce's answer to {what} has an unknown format"))
