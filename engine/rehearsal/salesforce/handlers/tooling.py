"""``/tooling/query``: what an administrator built on the objects, as far as a preflight asks for it.

Left out: writing. ``Flow.Metadata`` is served one row at a time, as the service does.
"""

from __future__ import annotations

import orjson

from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.soql.compiler import compile_query
from engine.rehearsal.salesforce.soql.parser import parse
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, as_json

_MOST = 2_000


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
