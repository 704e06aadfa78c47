"""Every address the stand-in answers, with the name it goes by in latencies, fault rules and the log."""

from __future__ import annotations

import re

from engine.rehearsal.salesforce.handlers import (
    auth,
    collections,
    composite,
    describe,
    limits,
    query,
    soap,
    sobjects,
    tooling,
)
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.routing import Handler, Route, Router

_OBJECT = r"/(?P<object>\w+)"
_ID = r"/(?P<id>[^/]+)"


def router() -> Router[Org]:
    """All routes, most particular first."""
    return Router(_outside() + _rows() + _questions())


def _route(name: str, method: str, pattern: str, handler: Handler[Org]) -> Route[Org]:
    return Route(name, method, re.compile(pattern), handler)


def _outside() -> list[Route[Org]]:
    def outside(name: str, method: str, pattern: str, handler: Handler[Org], *, is_open: bool = True) -> Route[Org]:
        return Route(name, method, re.compile(pattern), handler, versioned=False, open=is_open)

    return [
        outside("token", "POST", r"/services/oauth2/token", auth.token),
        outside("token", "GET", r"/services/oauth2/token", auth.token),
        outside("revoke", "POST", r"/services/oauth2/revoke", auth.revoke),
        outside("userinfo", "GET", r"/services/oauth2/userinfo", auth.userinfo, is_open=False),
        outside("soap_login", "POST", r"/services/Soap/u/(?P<soap>\d+\.\d)(/.*)?", soap.login),
        outside("versions", "GET", r"/services/data", describe.versions),
    ]


def _questions() -> list[Route[Org]]:
    return [
        _route("resources", "GET", "", describe.resources),
        _route("query", "GET", r"/query", query.query),
        _route("query_all", "GET", r"/queryAll", query.query_all),
        _route("query_more", "GET", r"/query(All)?/(?P<locator>[^/]+)", query.query_more),
        _route("tooling_query", "GET", r"/tooling/query", tooling.query),
        _route("limits", "GET", r"/limits", limits.limits),
        _route("record_count", "GET", r"/limits/recordCount", limits.record_count),
        _route("composite", "POST", r"/composite", composite.composite),
        _route("composite_batch", "POST", r"/composite/batch", composite.batch),
    ]


def _rows() -> list[Route[Org]]:
    many = r"/composite/sobjects"
    one = rf"/sobjects{_OBJECT}{_ID}"
    return [
        _route("collections_update", "PATCH", many, collections.update),
        _route("collections_create", "POST", many, collections.create),
        _route("collections_delete", "DELETE", many, collections.delete),
        _route("collections_retrieve", "POST", many + _OBJECT, collections.retrieve),
        _route("collections_retrieve", "GET", many + _OBJECT, collections.retrieve),
        _route("describe_global", "GET", r"/sobjects", describe.describe_global),
        _route("describe", "GET", rf"/sobjects{_OBJECT}/describe", describe.describe),
        _route("deleted", "GET", rf"/sobjects{_OBJECT}/deleted", sobjects.deleted),
        _route("updated", "GET", rf"/sobjects{_OBJECT}/updated", sobjects.updated),
        _route("object", "GET", rf"/sobjects{_OBJECT}", describe.basic),
        _route("record_create", "POST", rf"/sobjects{_OBJECT}", sobjects.create),
        _route("record_get", "GET", one, sobjects.get),
        _route("record_update", "PATCH", one, sobjects.update),
        _route("record_delete", "DELETE", one, sobjects.delete),
    ]
