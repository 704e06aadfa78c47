"""``/__sim__/…``: the side door for tests. It needs no session, costs nothing and is not in the log.

* ``POST faults`` a list of rules (``faults.py``), replacing all; ``GET faults``: with counters; ``DELETE faults``
* ``GET log?method=&name=&path=&status=&since=&limit=&clear=1``; ``DELETE log``
* ``GET records?ids=a,b`` or ``?object=X``, ``GET dump?object=X``: ground truth as NDJSON, recycle bin included
* ``POST records?object=X`` NDJSON rows; a row may name its own object under ``type``
* ``POST edit`` ``{"ids", "set", "user"?}``; ``POST delete`` and ``POST undelete`` ``{"ids"}``
* ``POST tooling`` ``{"ApexTrigger": [{"Name", "on", …}], …}``: what administrators built (``tooling.py``)
* ``POST revoke``: every session ends
* ``GET clock``; ``POST clock`` ``{"advance": seconds}``
* ``GET settings``; ``POST settings``: any of SETTABLE, and ``daily_used``
* ``POST access`` ``{"read_only": [ids], "hidden": [ids]}``: rows that sharing makes read-only, or hides altogether
* ``POST rewriting`` ``{"field", "make", "ids"?, "when"?, "user"?}``: automation changes what is written
  (``rewriting.py``), ``user`` may be ``colleague``; ``{}``: none. ``POST later``: it does what it was to do later
* ``POST field`` ``{"object", "field", …}``: change length, readable, updateable, nillable or type of a field
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from engine.rehearsal.salesforce import tooling
from engine.rehearsal.salesforce.clock import stamp
from engine.rehearsal.salesforce.faults import rule_from
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.rewriting import MAKES, WHEN, Rewriting

PREFIX = "/__sim__/"
SETTABLE = frozenset(
    {
        "latency_ms",
        "single_use_locators",
        "lock_parent",
        "password_flow_blocked",
        "client_credentials_user",
        "gzip",
        "long_request_max",
        "refresh_token",
        "rotate_refresh_tokens",
        "client_secret",
    }
)
_FIELD_KEYS = frozenset({"length", "readable", "updateable", "nillable", "type", "label"})
_HIDDEN = frozenset({"client_secret", "password", "security_token", "refresh_token", "jwt_public_key"})
_FLUSH = 256 * 1024


async def control(org: Org, http: web.Request) -> web.StreamResponse:
    """Answer one control call; bad input is 400 with ``{"error"}``."""
    name = http.path.removeprefix(PREFIX).strip("/")
    if http.method == "GET" and name in {"records", "dump"}:
        return await _rows(org, http)
    actions: dict[tuple[str, str], Callable[[Org, web.Request, bytes], Any]] = {
        ("GET", "faults"): lambda org, *_: [rule.describe() for rule in org.faults.rules],
        ("POST", "faults"): _set_faults,
        ("DELETE", "faults"): lambda org, *_: org.faults.set([]),
        ("GET", "log"): _log,
        ("DELETE", "log"): lambda org, *_: org.log.clear(),
        ("POST", "records"): _load,
        ("POST", "edit"): _edit,
        ("POST", "delete"): lambda org, _, body: _set_deleted(org, body, deleted=True),
        ("POST", "undelete"): lambda org, _, body: _set_deleted(org, body, deleted=False),
        ("POST", "tooling"): lambda org, _, body: tooling.load(org.tooling, orjson.loads(body)),
        ("POST", "revoke"): lambda org, *_: {"revoked": org.sessions.revoke()},
        ("GET", "clock"): lambda org, *_: {"now": stamp(org.clock.now())},
        ("POST", "clock"): _advance,
        ("GET", "settings"): lambda org, *_: _settings(org),
        ("POST", "settings"): _set_settings,
        ("POST", "access"): _access,
        ("POST", "field"): _field,
        ("POST", "rewriting"): _rewriting,
        ("POST", "later"): _later,
    }
    action = actions.get((http.method, name))
    if action is None:
        return _json({"error": f"no control action {http.method} {name}"}, 404)
    body = await http.read()
    try:
        return _json(action(org, http, body) or {})
    except (ValueError, KeyError, TypeError, sqlite3.IntegrityError) as error:
        return _json({"error": f"{type(error).__name__}: {error}"}, 400)


def _set_faults(org: Org, http: web.Request, body: bytes) -> Any:
    data = orjson.loads(body)
    rules = data["rules"] if isinstance(data, dict) else data
    org.faults.set([rule_from(rule) for rule in rules])
    return {"rules": len(org.faults.rules)}


def _log(org: Org, http: web.Request, body: bytes) -> Any:
    found = org.log.find(http.query)
    limit = int(http.query.get("limit", "0"))
    entries = [entry.describe() for entry in (found[-limit:] if limit else found)]
    if http.query.get("clear") == "1":
        org.log.clear()
    return {"total": len(found), "entries": entries}


def _load(org: Org, http: web.Request, body: bytes) -> Any:
    default = http.query.get("object", "DocListEntry__c")
    records = (orjson.loads(line) for line in body.splitlines() if line.strip())
    ids: list[str] = []
    for name, group in groupby(records, key=lambda record: record.get("type", default)):
        ids += org.world.load(name, _without_type(group))
    echo = http.query.get("echo_ids") == "1"
    return {"loaded": len(ids), **({"ids": ids} if echo else {})}


def _without_type(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for record in records:
        record.pop("type", None)
        record.pop("attributes", None)
        yield record


def _edit(org: Org, http: web.Request, body: bytes) -> Any:
    data = orjson.loads(body)
    return {"edited": org.world.edit(data["ids"], data.get("set", {}), data.get("user", org.colleague_id))}


def _set_deleted(org: Org, body: bytes, *, deleted: bool) -> Any:
    ids = orjson.loads(body)["ids"]
    return {"changed": org.world.set_deleted(ids, deleted=deleted, user_id=org.colleague_id)}


def _advance(org: Org, http: web.Request, body: bytes) -> Any:
    org.clock.advance(float(orjson.loads(body)["advance"]))
    return {"now": stamp(org.clock.now())}


def _settings(org: Org) -> Any:
    known = {name: value for name, value in asdict(org.settings).items() if name not in _HIDDEN}
    known = {name: str(value) if isinstance(value, Path) else value for name, value in known.items()}
    return {**known, "daily_max": org.usage.daily_max, "daily_used": org.usage.used()}


def _set_settings(org: Org, http: web.Request, body: bytes) -> Any:
    for name, value in orjson.loads(body).items():
        if name == "daily_max":
            org.usage.daily_max = int(value)
        elif name == "daily_used":
            org.usage.set_used(int(value))
        elif name in SETTABLE:
            setattr(org.settings, name, value)
        else:
            raise ValueError(f"{name} cannot be set while the stand-in runs")
    return _settings(org)


def _access(org: Org, http: web.Request, body: bytes) -> Any:
    data = orjson.loads(body)
    org.read_only_ids, org.hidden_ids = (set(data.get(name, [])) for name in ("read_only", "hidden"))
    return {"read_only": len(org.read_only_ids), "hidden": len(org.hidden_ids)}


def _rewriting(org: Org, http: web.Request, body: bytes) -> Any:
    data = orjson.loads(body)
    if not data:
        org.rewriting = None
        org.later.clear()
        return {"on": False}
    when, user = data.get("when", WHEN[0]), data.get("user", "")
    if data["make"] not in MAKES or when not in WHEN:
        raise ValueError(f"make must be one of {sorted(MAKES)}, when one of {WHEN}")
    user = org.colleague_id if user == "colleague" else user
    org.rewriting = Rewriting(data["field"], data["make"], frozenset(data.get("ids", ())), when, user)
    return {"on": True}


def _later(org: Org, http: web.Request, body: bytes) -> Any:
    acts, org.later = org.later, []
    for act in acts:
        act()
    return {"done": len(acts)}


def _field(org: Org, http: web.Request, body: bytes) -> Any:
    data = orjson.loads(body)
    item = org.schema.get(data.pop("object")).column(data.pop("field"))
    if item is None or not data.keys() <= _FIELD_KEYS:
        raise ValueError(f"no such field, or not among {sorted(_FIELD_KEYS)}")
    for name, value in data.items():
        setattr(item, name, value)
    return {name: getattr(item, name) for name in sorted(_FIELD_KEYS)}


async def _rows(org: Org, http: web.Request) -> web.StreamResponse:
    ids = [row_id for row_id in http.query.get("ids", "").split(",") if row_id]
    try:
        if ids:
            records: Iterable[dict[str, Any]] = [row for row in map(org.world.record, ids) if row is not None]
        else:
            name = org.schema.get(http.query.get("object", "DocListEntry__c")).name
            records = org.world.dump(name)
    except (ValueError, KeyError) as error:
        return _json({"error": f"{type(error).__name__}: {error}"}, 400)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(http)
    async for chunk in _chunks(records):
        await response.write(chunk)
    await response.write_eof()
    return response


async def _chunks(records: Iterable[dict[str, Any]]) -> AsyncIterator[bytes]:
    buffer = bytearray()
    for record in records:
        buffer += orjson.dumps(record) + b"\n"
        if len(buffer) >= _FLUSH:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
