"""A planner, a record, and what is known of it."""

from __future__ import annotations

from engine.model.outcome import Status
from engine.model.plan import Known
from engine.model.record import Record
from engine.model.urls import source_rules
from engine.pipeline.placing import Target
from engine.pipeline.planning import Planner

RULES = source_rules(["docs-bucket"], None, "us-west-2", ["files.example"])


TARGET = Target(
    "ours",
    "us-east-1",
    None,
    "uploads/{account_id}/{record_id}/{file_name}",
    "https://{bucket}.s3.{region}.amazonaws.com/{key}",
    255,
)


PLANNER = Planner(RULES, TARGET)


SOURCE = "https://docs-bucket.s3.us-west-2.amazonaws.com/acme/report%201.pdf"


KEY = "uploads/001000000000001AAA/a00000000000001AAA/report 1.pdf"


LINK = "https://ours.s3.us-east-1.amazonaws.com/uploads/001000000000001AAA/a00000000000001AAA/report%201.pdf"


RECORD = Record("a00000000000001AAA", "DLE-1", SOURCE, "001000000000001AAA", "Acme", "2026-11-22T10:00:00.000Z")


COPIED = Known(
    row=1,
    status=Status.BACKED_UP,
    failure="",
    url=SOURCE,
    our_url=LINK,
    our_key=KEY,
    modified=RECORD.modified,
    account_id=RECORD.account_id,
    account_name=RECORD.account_name,
    name=RECORD.name,
    source_etag="e" * 32,
    destination_etag="e" * 32,
    attempts=1,
    proof="etag",
)


NO_COPY = COPIED._replace(our_url="", our_key="", source_etag="", destination_etag="", proof="")
