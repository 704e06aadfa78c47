"""Hostile text in every field of a record: a sound plan or a named outcome, never an exception."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.keys import changed_template, fill_changed
from engine.model.outcome import Outcome, Status
from engine.model.plan import Plan
from engine.model.record import Record
from engine.model.urls import parse_url, source_rules
from engine.pipeline.placing import Target
from engine.pipeline.planning import Planner

NAUGHTY: list[str] = json.loads((Path(__file__).parents[1] / "data" / "blns.json").read_text("utf-8"))
NAUGHTY += ["\ud800", "a\ud800b.pdf", "\x00", "\x1b[31mred", "x" * 5000, "𝄞" * 300, "..", "../" * 400, "%", "%FF"]

SOURCES = source_rules(["docs-bucket"], None, "us-west-2", ["files.example"])
OURS = source_rules(["ours"], None, "us-east-1", [])
BASE = "https://docs-bucket.s3.us-west-2.amazonaws.com/"
RECORD = Record("a00000000000001AAA", "DLE-1", f"{BASE}a.pdf", "001000000000001AAA", "Acme", "2026-11-22T10:00:00.000Z")


def planner(key_template: str) -> Planner:
    link = "https://{bucket}.s3.{region}.amazonaws.com/{key}"
    return Planner(SOURCES, Target("ours", "us-east-1", None, key_template, link, 4000))


PLANNERS = [
    planner("uploads/{account_id}/{record_id}/{file_name}"),
    planner("{account_name}/{record_name}/{record_id}-{stem}{ext}"),
    planner("{bucket}/{source_key}/{record_id}"),
]


def check(record: Record) -> None:
    """Any decision about the record keeps every promise."""
    for each in PLANNERS:
        decision = each.plan(record, None, 1)
        if isinstance(decision, Plan):
            assert RECORD.id in decision.key
            assert len(decision.key.encode()) <= 1024
            assert not {"", ".", ".."} & set(decision.key.split("/"))
            assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in decision.key)
            assert decision.url.isascii()
            assert decision.url.isprintable()
            assert " " not in decision.url
            assert len(decision.url) <= 4000
            assert parse_url(decision.url, OURS).key == decision.key
            assert parse_url(each.places.url_of(fill_changed(changed_template(decision.key), "0" * 32)), OURS).in_s3
            assert 0 <= decision.source_id < 2**63
        else:
            assert isinstance(decision, Outcome)
            assert decision.status in {Status.FAILED, Status.SKIPPED}
            assert decision.failure is not None
            assert decision.message.isprintable()


@pytest.mark.parametrize("number", range(len(NAUGHTY)))
def test_a_naughty_string_in_any_field_is_planned_or_named(number: int) -> None:
    text = NAUGHTY[number]
    encoded = quote(text, safe="", errors="replace")
    for url in [text, BASE + text, f"{BASE}{encoded}", f"{BASE}d/{encoded}.pdf", f"https://files.example/{text}"]:
        check(replace(RECORD, url=url))
        check(replace(RECORD, url=url, name=text, account_name=text))
    for url in [RECORD.url, f"{BASE}d/..%2F"]:
        check(replace(RECORD, url=url, name=text))
        check(replace(RECORD, url=url, account_name=text))
        check(replace(RECORD, url=url, account_id=text))


ANY = st.text(max_size=60)


@settings(max_examples=1_000, deadline=None)
@given(ANY, ANY, ANY, ANY, st.sampled_from(["", BASE, "https://files.example/", "s3://docs-bucket/", "https://"]))
def test_any_record_is_planned_or_named(url: str, name: str, account_name: str, account_id: str, base: str) -> None:
    check(replace(RECORD, url=base + url, name=name, account_name=account_name, account_id=account_id))
