"""``/tooling/query``: what an administrator built on the objects, as far as a preflight asks for it.

Triggers, validation rules and flows are rows in a world of their own; ``POST /__sim__/tooling`` puts them there.
Left out: every other tooling object, and writing. ``Flow.Metadata`` is served one row at a time, as the service does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from engine.rehearsal.salesforce.clock import OrgClock
from engine.rehearsal.salesforce.compile import compile_query
from engine.rehearsal.salesforce.schema import Field, Schema, SObject
from engine.rehearsal.salesforce.soql import parse
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, as_json
from engine.rehearsal.salesforce.world import World

if TYPE_CHECKING:
    from engine.rehearsal.salesforce.org import Org

_MOST = 2_000


def tooling_world(clock: OrgClock, user_id: str) -> World:
    """An org on which nobody has built anything."""
    return World(_schema(), clock, None, user_id)


def query(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/tooling/query?q=``: one page, which is all that these few rows need."""
    compiled = compile_query(parse(request.query.get("q", "")), org.tooling.schema)
    limit = _MOST if compiled.query.limit is None else compiled.query.limit
    rows = org.tooling.connection.execute(f"{compiled.sql()} LIMIT ?", (*compiled.params, limit)).fetchall()
    records = compiled.shape.records(rows, request.version)
    for record in records:
        if "Metadata" in record:
            if len(records) > 1:
                raise ApiError(
                    400,
                    "MALFORMED_QUERY",
                    "When retrieving results with Metadata or FullName fields, the query qualifications must specify "
                    f"no more than one row for retrieval. Result size: {len(records)}",
                )
            record["Metadata"] = orjson.loads(record["Metadata"] or "null")
    body = {"size": len(records), "totalSize": len(records), "done": True, "queryLocator": None}
    return as_json({**body, "entityTypeName": compiled.sobject.name, "records": records})


def load(org: Org, document: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Rows by object. A row may name its object by ``on`` and hold its flow's ``Metadata`` as JSON."""
    counts = {}
    for name, rows in document.items():
        counts[name] = len(org.tooling.load(name, [_stored(org, row) for row in rows]))
    return counts


def _stored(org: Org, row: dict[str, Any]) -> dict[str, Any]:
    row = dict(row)
    if (on := row.pop("on", None)) is not None:
        row["EntityDefinitionId"] = _entity(org, on)
    if "Metadata" in row:
        row["Metadata"] = orjson.dumps(row["Metadata"]).decode()
    return row


def _entity(org: Org, name: str) -> str:
    found = org.tooling.connection.execute('SELECT "Id" FROM "EntityDefinition" WHERE "QualifiedApiName" = ?', (name,))
    row = found.fetchone()
    return row[0] if row else org.tooling.load("EntityDefinition", [{"QualifiedApiName": name}])[0]


def _schema() -> Schema:
    def on_object() -> Field:
        return Field(
            name="EntityDefinitionId",
            type="reference",
            reference_to=("EntityDefinition",),
            relationship="EntityDefinition",
        )

    return Schema(
        [
            SObject(name="EntityDefinition", key_prefix="4ie", fields=[Field(name="QualifiedApiName")]),
            SObject(
                name="ApexTrigger",
                key_prefix="01q",
                fields=[
                    Field(name="Name"),
                    Field(name="NamespacePrefix"),
                    Field(name="Status"),
                    Field(name="UsageBeforeUpdate", type="boolean"),
                    Field(name="UsageAfterUpdate", type="boolean"),
                    on_object(),
                ],
            ),
            SObject(
                name="ValidationRule",
                key_prefix="03d",
                fields=[
                    Field(name="ValidationName"),
                    Field(name="NamespacePrefix"),
                    Field(name="Active", type="boolean"),
                    Field(name="ErrorMessage", length=255),
                    on_object(),
                ],
            ),
            SObject(
                name="Flow",
                key_prefix="301",
                fields=[
                    Field(name="MasterLabel"),
                    Field(name="ProcessType"),
                    Field(name="Status"),
                    Field(name="Metadata", type="textarea", length=131_072),
                ],
            ),
        ]
    )
