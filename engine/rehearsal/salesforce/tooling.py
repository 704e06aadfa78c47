"""What administrators built on the objects: triggers, validation rules and flows, as rows in a world of their own.

``POST /__sim__/tooling`` puts them there, ``/tooling/query`` tells them. Left out: every other tooling object.
"""

from __future__ import annotations

from typing import Any

import orjson

from engine.rehearsal.salesforce.clock import OrgClock
from engine.rehearsal.salesforce.schema import Field, Schema, SObject
from engine.rehearsal.salesforce.world import World


def tooling_world(clock: OrgClock, user_id: str) -> World:
    """An org on which nobody has built anything."""
    return World(_schema(), clock, None, user_id)


def load(world: World, document: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Rows by object. A row may name its object by ``on`` and hold its flow's ``Metadata`` as JSON."""
    counts = {}
    for name, rows in document.items():
        counts[name] = len(world.load(name, [_stored(world, row) for row in rows]))
    return counts


def _stored(world: World, row: dict[str, Any]) -> dict[str, Any]:
    row = dict(row)
    if (on := row.pop("on", None)) is not None:
        row["EntityDefinitionId"] = _entity(world, on)
    if "Metadata" in row:
        row["Metadata"] = orjson.dumps(row["Metadata"]).decode()
    return row


def _entity(world: World, name: str) -> str:
    found = world.connection.execute('SELECT "Id" FROM "EntityDefinition" WHERE "QualifiedApiName" = ?', (name,))
    row = found.fetchone()
    return row[0] if row else world.load("EntityDefinition", [{"QualifiedApiName": name}])[0]


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
