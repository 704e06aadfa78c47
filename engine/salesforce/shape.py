"""What is read before a run: API versions, the org, and whether object and fields are as the settings say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.model.errors import Blocked, Fatal, Transient
from engine.model.failures import FailureClass
from engine.model.ids import to18
from engine.model.record import ObjectShape
from engine.model.suggest import nearest
from engine.salesforce import soql
from engine.salesforce.faults import NotThere
from engine.salesforce.rows import canonical
from engine.salesforce.session import SalesforceSession
from engine.settings import RecordSettings

_LINK_TYPES = frozenset({"url", "string", "textarea"})
_FLS = "The field may also be hidden from the integration user: give it read access (field-level security)."


@dataclass(frozen=True, slots=True)
class Organization:
    """The org that we are logged in to. ``is_sandbox`` is None where the user may not read it."""

    id: str
    name: str = ""
    is_sandbox: bool | None = None


async def organization(session: SalesforceSession, *, org_id: str | None, api_version: str) -> Organization:
    """The org, checked against ``salesforce.org_id`` and ``api_version``. Raises Blocked when either does not fit."""
    check_version(await session.get_json("/services/data/", doing="list API versions"), api_version)
    login = await session.login()
    statement = soql.select(["Id", "Name", "IsSandbox"], "Organization")
    try:
        found = _organization(await session.get_json("query", query={"q": statement}, doing="read the organization"))
    except Blocked:
        if not login.org_id:
            raise
        found = Organization(canonical(login.org_id))
    check_org(found, org_id)
    return found


def check_org(found: Organization, pinned: str | None) -> None:
    """Raise Blocked unless the org is the pinned one; without a pin any org will do."""
    if pinned and canonical(pinned) != found.id:
        named = f"{found.name} ({found.id})" if found.name else found.id
        raise Blocked(
            f"this login leads to the org {named}, but salesforce.org_id pins {canonical(pinned)}",
            hint="Log in to the pinned org, or change salesforce.org_id if the other one is meant.",
        )


def check_version(answer: Any, wanted: str) -> None:
    """Raise Blocked unless the org serves the API version."""
    known = [str(item.get("version")) for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []
    if known and wanted not in known:
        raise Blocked(
            f"the org does not serve API version {wanted}",
            hint=f'It serves {known[0]} to {known[-1]}: set salesforce.api_version, for instance to "{known[-1]}".',
        )


async def object_shape(
    session: SalesforceSession, records: RecordSettings, extra_fields: Sequence[str] = ()
) -> ObjectShape:
    """The object that holds the links. Raises Blocked when it or a field is missing or of the wrong type."""
    name = soql.name(records.object)
    try:
        described = await session.get_json(f"sobjects/{name}/describe", doing=f"describe {name}")
    except NotThere:
        raise _missing_object(name, await _object_names(session)) from None
    return read_shape(described, records, extra_fields)


def read_shape(described: Any, records: RecordSettings, extra_fields: Sequence[str] = ()) -> ObjectShape:
    """The shape in a describe answer, checked against the settings."""
    if not isinstance(described, dict) or not isinstance(described.get("fields"), list):
        raise Transient(FailureClass.NETWORK, "Salesforce's answer to describe has an unknown format")
    name = str(described.get("name") or records.object)
    if described.get("queryable") is False:
        raise Blocked(f"{name} cannot be queried", hint="Check salesforce.object.")
    fields = {str(item.get("name")).lower(): item for item in described["fields"] if isinstance(item, dict)}
    for key in ("url_field", "name_field", "account_field", "account_name_field"):
        _check_path(getattr(records, key), fields, name, f"salesforce.{key}")
    for field in extra_fields:
        _check_path(field, fields, name, "source.resolver.url")
    link = fields[records.url_field.lower()]
    _check_link(link, name)
    return ObjectShape(
        name=name,
        url_field=str(link["name"]),
        url_length=int(link.get("length") or 0),
        url_updateable=bool(link.get("updateable")) and bool(described.get("updateable", True)),
        fields=frozenset(str(item["name"]) for item in fields.values()),
    )


def _check_link(link: Mapping[str, Any], name: str) -> None:
    kind = link.get("type")
    if kind not in _LINK_TYPES:
        raise Blocked(
            f"{name}.{link['name']} is of type {kind}, which holds no links",
            hint="Set salesforce.url_field to a URL or text field.",
        )
    if link.get("htmlFormatted"):
        raise Blocked(
            f"{name}.{link['name']} is a rich text field, whose values are HTML and not links",
            hint="Set salesforce.url_field to a URL or plain text field.",
        )


def _check_path(path: str, fields: Mapping[str, Mapping[str, Any]], name: str, key: str) -> None:
    """The first step of a path must be a field of the object, or one of its relationships."""
    first, _, rest = path.partition(".")
    if rest:
        known = {str(item["relationshipName"]) for item in fields.values() if item.get("relationshipName")}
    else:
        known = {str(item["name"]) for item in fields.values()}
    if first.lower() not in {item.lower() for item in known}:
        kind = "relationship" if rest else "field"
        raise Blocked(f"{name} has no {kind} {first!r} ({key}){suggestion(first, known)}", hint=_FLS)


def _missing_object(name: str, known: Iterable[str]) -> Blocked:
    return Blocked(
        f"Salesforce knows no object {name!r} (salesforce.object){suggestion(name, known)}",
        hint="It may also be hidden from the integration user: give it read access to the object.",
    )


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?``, or empty where no name is similar."""
    spelled = {item.lower(): item for item in known}
    near = nearest(name.lower(), spelled)
    return f"; did you mean {spelled[near]}?" if near else ""


async def _object_names(session: SalesforceSession) -> list[str]:
    """All objects that the user may see; none on an error, since they only serve a suggestion."""
    try:
        items = await session.get_list("sobjects", "sobjects", doing="list objects")
    except (Fatal, Transient):
        return []
    return [str(item.get("name")) for item in items]


def _organization(answer: Any) -> Organization:
    try:
        row = answer["records"][0]
        return Organization(to18(row["Id"]), str(row.get("Name") or ""), row.get("IsSandbox"))
    except (KeyError, IndexError, TypeError, ValueError):
        raise Transient(
            FailureClass.NETWORK, "Salesforce's answer about the organization has an unknown format"
        ) from None
