"""What a change of the link sets off in the org: triggers, validation rules, flows.

Read through the Tooling API, which not every integration user may use: then the caller gets the error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.salesforce import soql
from engine.salesforce.session import SalesforceSession

_FLOWS = 50
"""Flows that are read, one call each: only a flow's metadata names its object."""
_ON = "EntityDefinition.QualifiedApiName"


async def triggers(session: SalesforceSession, object_name: str) -> list[str]:
    """Names of active Apex triggers that run on an update. Raises Fatal, Transient."""
    fields = ["Name", "Status", "UsageBeforeUpdate", "UsageAfterUpdate"]
    rows = await _ask(session, soql.select(fields, "ApexTrigger", conditions=[soql.compare(_ON, "=", object_name)]))
    return [
        str(row["Name"])
        for row in rows
        if row.get("Status") == "Active" and (row.get("UsageBeforeUpdate") or row.get("UsageAfterUpdate"))
    ]


async def validation_rules(session: SalesforceSession, object_name: str) -> list[str]:
    """Names of active validation rules. Raises Fatal, Transient."""
    where = [soql.compare(_ON, "=", object_name), "Active = TRUE"]
    rows = await _ask(session, soql.select(["ValidationName", "ErrorMessage"], "ValidationRule", conditions=where))
    return [str(row["ValidationName"]) for row in rows]


async def flows(session: SalesforceSession, object_name: str) -> tuple[list[str], int]:
    """Labels of active flows and processes that an update of the object starts, and how many flows were not read.

    Raises Fatal, Transient.
    """
    where = ["Status = 'Active'", soql.within("ProcessType", ["AutoLaunchedFlow", "Workflow"])]
    rows = await _ask(session, soql.select(["Id", "MasterLabel"], "Flow", conditions=where))
    found = []
    for row in rows[:_FLOWS]:
        one = await _ask(
            session, soql.select(["Metadata"], "Flow", conditions=[soql.compare("Id", "=", str(row["Id"]))])
        )
        if one and _starts_on(one[0].get("Metadata"), object_name):
            found.append(str(row["MasterLabel"]))
    return found, max(0, len(rows) - _FLOWS)


def _starts_on(metadata: Any, object_name: str) -> bool:
    """Whether a flow's metadata says that an update of the object starts it."""
    if not isinstance(metadata, dict):
        return False
    start = metadata.get("start")
    if isinstance(start, dict) and start.get("object") == object_name:
        return start.get("recordTriggerType") in {"Update", "CreateAndUpdate"}
    values = metadata.get("processMetadataValues")
    return isinstance(values, list) and any(
        isinstance(each, dict)
        and each.get("name") == "ObjectType"
        and isinstance(each.get("value"), dict)
        and each["value"].get("stringValue") == object_name
        for each in values
    )


async def _ask(session: SalesforceSession, statement: str) -> Sequence[Mapping[str, Any]]:
    doing = "read the automation of the object"
    return await session.get_list("tooling/query", "records", query={"q": statement}, doing=doing)
