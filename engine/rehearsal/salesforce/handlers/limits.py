"""``/limits`` and ``/limits/recordCount``."""

from __future__ import annotations

from typing import Any

from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.wire import ApiRequest, ApiResponse, as_json


def limits(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/limits``."""

    def entry(maximum: int, used: int = 0) -> dict[str, Any]:
        return {"Max": maximum, "Remaining": max(0, maximum - used)}

    return as_json(
        {
            "DailyApiRequests": entry(org.usage.daily_max, org.usage.used()),
            "DataStorageMB": entry(5_000),
            "PermissionSets": {**entry(1_500), "CreateCustom": entry(1_000)},
        }
    )


def record_count(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/limits/recordCount?sObjects=A,B``: unknown names are left out."""
    wanted = [name for name in request.query.get("sObjects", "").split(",") if name]
    found = [sobject for sobject in (org.schema.find(name.strip()) for name in wanted) if sobject is not None]
    if not wanted:
        found = list(org.schema)
    return as_json({"sObjects": [{"count": org.world.count(item.name), "name": item.name} for item in found]})
