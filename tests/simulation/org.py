"""SimOrg: an org that outlives its clients.

Each request arrives, is carried out at its own instant, and is answered at another, or never; whether anybody still
listens makes no difference to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from engine.model.ids import to18
from tests.simulation.loop import BEGIN, Timeline, http_date, iso_second
from tests.simulation.records import Change, Entry, Reply, Request
from tests.simulation.shape import DESCRIBE, FIELD, OBJECT, OTHER, OTHERS, US
from tests.simulation.soql import Statement, statement

ORG_ID = to18("00D5g00000SiMuL")
ORG_NAME = "Simulated"
HOST = "https://sim.my.salesforce.com"
LONGEST_CALL_S = 600.0
"""Salesforce ends any call after ten minutes."""
LOCK_WAIT_S = 10.0
PAGE = 7
"""Rows in one answer to a query."""

Json = Any
HTML = b"<!DOCTYPE html><html><body>Gateway</body></html>"


class SimOrg:
    """``on_arrival`` and ``on_change`` are told for the oracles. ``flow`` makes of (record, written, before) what the
    record comes to hold."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.entries: dict[str, Entry] = {}
        self.accounts: dict[str, str] = {}
        self.under_way: dict[int, Request] = {}
        self.locks: dict[str, float] = {}
        """Accounts that others hold, and until when."""
        self.rejected: set[str] = set()
        """Records whose writes a validation rule refuses."""
        self.flow: Callable[[Entry, str, str], str] = lambda _entry, written, _before: written
        self.on_arrival: Callable[[Request], None] = lambda _request: None
        self.on_change: Callable[[Request, Entry, str, str], None] = lambda *_: None
        self.on_done: Callable[[Request], None] = lambda _request: None
        self.heard: dict[int, int] = {}
        """Writes whose client has heard that they were carried out, and which process that was; none of those that were
        killed: nobody can know whether they have looked at what they wrote."""
        self._cursors: dict[str, list[dict[str, Any]]] = {}
        self._names = 0
        self._tokens = 0
        self._honoured = -1
        """The latest of them that was used."""
        self._numbers = 0
        self._used = 0

    # requests

    def sent(self, life: int, method: str, url: str, headers: Any, body: bytes | None) -> Request:
        parts = urlsplit(url)
        self._numbers += 1
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        told = orjson.loads(body) if body and "json" in headers.get("Content-Type", "") else None
        request = Request(
            self._numbers,
            life,
            method,
            parts.path,
            parse_qs(parts.query) if parts.query else {},
            told,
            token,
            self._timeline.now,
        )
        request.writes = list(_writes(request))
        return request

    def arrive(self, request: Request) -> None:
        """It is here: from now on it will be carried out, whoever dies."""
        self.under_way[request.number] = request
        if request.is_write:
            self.on_arrival(request)

    def carry_out(self, request: Request) -> Reply:
        """Do it, now and as a whole."""
        self.under_way.pop(request.number, None)
        request.done = self._timeline.now
        self._used += 1
        reply = self._answer(request)
        reply.headers |= {
            "Sforce-Limit-Info": f"api-usage={self._used}/1000000",
            "Date": http_date(int(self._timeline.now)),
            "Content-Type": "application/json;charset=UTF-8",
        }
        if request.is_write:
            self.on_done(request)
        return reply

    def forget(self, request: Request) -> None:
        """It never happened."""
        self.under_way.pop(request.number, None)

    def log_out(self) -> None:
        """All sessions end: the next request of each hears 401. Not twice before a session was used again."""
        if self._honoured >= self._tokens - 1:
            self._tokens += 1

    def _answer(self, request: Request) -> Reply:
        path = request.path
        if path.endswith("/oauth2/token"):
            token = f"00D!{self._tokens}"
            return _json({"access_token": token, "instance_url": HOST, "id": f"{HOST}/id/{ORG_ID}/{US}"})
        if request.token != f"00D!{self._tokens}":
            return _refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        self._honoured = self._tokens
        path = re.sub(r"^/services/data/v\d+\.0/", "", path)
        if path == "/services/data/":
            return _json([{"version": "62.0"}])
        if path.startswith(("query/", "queryAll/")):
            return self._page(path.rpartition("/")[2])
        if path in {"query", "queryAll"}:
            return self._query(statement(request.query["q"][0]), everything=path == "queryAll")
        if path == f"sobjects/{OBJECT}/describe":
            return _json(DESCRIBE)
        if path == f"composite/sobjects/{OBJECT}":
            fields = request.body["fields"]
            return _json([self._row(self.entries.get(name), fields) for name in request.body["ids"]])
        if path == "composite/sobjects":
            return _json([self._collected(request, *each) for each in request.writes])
        if path == "composite":
            return _json({"compositeResponse": [self._part(request, n) for n in range(len(request.writes))]})
        return _refusal(404, "NOT_FOUND", "The requested resource does not exist")

    def _query(self, asked: Statement, *, everything: bool) -> Reply:
        if asked.object == "Organization":
            return _json(_found([{"Id": ORG_ID, "Name": ORG_NAME, "IsSandbox": True}]))
        rows = [
            self._fields(entry)
            for _, entry in sorted(self.entries.items(), reverse=asked.descending)
            if not entry.hidden and (everything or not entry.deleted)
        ]
        rows = [row for row in rows if asked.test(row)]
        if asked.counts:
            return _json({"totalSize": len(rows), "done": True, "records": []})
        rows = rows[: asked.limit]
        if len(rows) <= PAGE:
            return _json(_found(rows))
        name = f"01g{self._names + len(self._cursors):012}"
        self._cursors[name] = rows
        return self._page(f"{name}-0")

    def _page(self, locator: str) -> Reply:
        """The next rows of a query that has more of them than fit into an answer."""
        name, _, place = locator.partition("-")
        if name not in self._cursors:
            return _refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        rows, at = self._cursors[name], int(place)
        told = _found(rows[at : at + PAGE]) | {"totalSize": len(rows)}
        if at + PAGE < len(rows):
            told |= {"done": False, "nextRecordsUrl": f"/services/data/v62.0/query/{name}-{at + PAGE}"}
        return _json(told)

    def forget_cursors(self) -> None:
        """Whoever reads on in a query hears that it is gone."""
        self._names += len(self._cursors)
        self._cursors.clear()

    def _fields(self, entry: Entry) -> dict[str, Any]:
        return {
            "Id": entry.id,
            "Name": entry.name,
            FIELD: entry.url or None,
            OTHER: f"https://elsewhere.example/{entry.id}",
            "Account__c": entry.account or None,
            "Account__r": {"Name": self.accounts[entry.account]} if entry.account else None,
            "SystemModstamp": stamp(entry.modified),
            "LastModifiedDate": stamp(entry.modified),
            "LastModifiedById": US if entry.last.who in {"api", "flow"} else OTHERS,
            "IsDeleted": entry.deleted,
        }

    def _row(self, entry: Entry | None, fields: list[str]) -> Json:
        if entry is None or not entry.seen:
            return None
        values = self._fields(entry)
        return {name: values[name] for name in fields}

    def _collected(self, request: Request, record: str, link: str, _since: str) -> Json:
        error = self._write(request, record, link)
        if error is None:
            return {"id": record, "success": True, "errors": []}
        return {"success": False, "errors": [{"statusCode": error[0], "message": error[1], "fields": []}]}

    def _part(self, request: Request, place: int) -> Json:
        record, link, since = request.writes[place]
        entry, status, body = self.entries.get(record), 204, None
        if entry is not None and entry.seen and _second(entry.modified) > _parsed(since):
            status, body = 412, [{"errorCode": "PRECONDITION_FAILED", "message": "changed"}]
        elif (error := self._write(request, record, link)) is not None:
            status, body = 404 if "DELETED" in error[0] else 400, [{"errorCode": error[0], "message": error[1]}]
        return {"referenceId": f"r{place}", "httpStatusCode": status, "body": body}

    def _write(self, request: Request, record: str, link: str) -> tuple[str, str] | None:
        entry = self.entries.get(record)
        if entry is None or not entry.seen:
            return "ENTITY_IS_DELETED", "entity is deleted"
        if self._locked(request, entry.account):
            return "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"
        if record in self.rejected:
            return "FIELD_CUSTOM_VALIDATION_EXCEPTION", "a rule of the org"
        before = entry.url
        self.on_change(request, entry, before, link)
        self._set(entry, link, "api", request.number)
        if (made := self.flow(entry, link, before)) != link:
            self._set(entry, made, "flow", request.number)
        return None

    def _locked(self, request: Request, account: str) -> bool:
        """By others, or by a write that came before and is still under way: it waits for ten seconds, and gives up."""
        if self.locks.get(account, 0.0) > self._timeline.now + LOCK_WAIT_S:
            return True
        before = [each for each in self.under_way.values() if each.number < request.number and each.is_write]
        return bool(account) and any(
            self.entries[record].account == account for each in before for record, _, _ in each.writes
        )

    # what others do

    def edit(self, record: str, link: str, who: str = "user") -> None:
        self._set(self.entries[record], link, who)

    def delete(self, record: str, *, back: bool = False, hide: bool = False) -> None:
        entry = self.entries[record]
        if hide:
            entry.hidden = not back
        else:
            entry.deleted = not back
        entry.modified = self._timeline.now
        entry.history.append(Change(self._timeline.now, entry.url if entry.seen else None, "user"))

    def add(self, entry: Entry) -> None:
        entry.history.append(Change(entry.modified, entry.url, "load"))
        self.entries[entry.id] = entry

    def _set(self, entry: Entry, link: str, who: str, request: int = 0) -> None:
        entry.url, entry.modified = link, self._timeline.now
        entry.history.append(Change(self._timeline.now, link, who, request))


def _writes(request: Request) -> list[tuple[str, str, str]]:
    if request.method == "PATCH" and request.path.endswith("composite/sobjects"):
        return [(each["id"], each.get(FIELD, ""), "") for each in request.body["records"]]
    if request.method == "POST" and request.path.endswith("/composite"):
        parts = request.body["compositeRequest"]
        return [
            (each["url"].rpartition("/")[2], each["body"][FIELD], each["httpHeaders"]["If-Unmodified-Since"])
            for each in parts
        ]
    return []


def stamp(moment: float) -> str:
    """Whole seconds, as Salesforce has them."""
    return f"{iso_second(int(moment))}.000+0000"


def _second(moment: float) -> datetime:
    return BEGIN + timedelta(seconds=int(moment))


def _parsed(http_date: str) -> datetime:
    return datetime.strptime(http_date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)


def _json(value: Json, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(value))


def _refusal(status: int, code: str, message: str) -> Reply:
    return _json([{"errorCode": code, "message": message}], status)


def _found(rows: list[dict[str, Any]]) -> Json:
    return {"totalSize": len(rows), "done": True, "records": rows}
