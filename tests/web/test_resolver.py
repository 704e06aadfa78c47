"""A vendor's API asked for links."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.errors import Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.record import Record
from engine.model.urls import parse_url, source_rules
from engine.settings import NetworkSettings, ResolverSettings
from engine.web.client import open_web
from engine.web.resolver import LinkResolver, at, fields_of, filled, link_in, resolver_origin
from tests.support.servers.raw import Asked, RawServer, Sent, answer

RECORD = Record("a0X5e0000000001EAA", "D", "", "", "", "", extra=(("Identifier__c", "a/b ?&é"), ("Empty__c", "")))


def parse(url: str) -> Location:
    return parse_url(url, source_rules([], None, "us-east-1", ["files.test"]))


@asynccontextmanager
async def resolving(
    script: Callable[[Asked], Sent] | Sent, path: str = "/files/{Identifier__c}", **settings: Any
) -> AsyncIterator[tuple[LinkResolver, RawServer]]:
    said = script if callable(script) else lambda _: script
    async with RawServer(said).serve() as server:
        chosen = ResolverSettings(url=server.url + path, **settings)
        async with open_web([resolver_origin(chosen)], NetworkSettings()) as client:
            yield LinkResolver(chosen, client, parse, SystemClock()), server


def linked(url: object) -> Sent:
    return answer(body=json.dumps({"url": url}).encode(), Content_Type="application/json")


async def test_a_link_is_asked_for_with_the_records_values_and_our_token() -> None:
    link = "https://files.test/a%20b.pdf?X-Amz-Signature=x%2By&X-Amz-Date=20261122T100000Z&X-Amz-Expires=60"
    async with resolving(linked(link), "/f/{Identifier__c}?r={Id}", token="t0k3n") as (resolver, server):
        location = await resolver.resolve(RECORD)
        assert server.asked[0].target == "/f/a%2Fb%20%3F%26%C3%A9?r=a0X5e0000000001EAA"
        assert server.asked[0].headers["authorization"] == "Bearer t0k3n"
    assert location.url == link
    assert location.presigned
    assert location.expires_at is not None


async def test_the_allow_list_applies_to_the_answer() -> None:
    async with resolving(linked("https://evil.test/a.pdf")) as (resolver, _):
        with pytest.raises(Refused) as caught:
            await resolver.resolve(RECORD)
    assert caught.value.failure is FailureClass.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    "sent",
    [
        answer(404, b"{}"),
        answer(401),
        answer(403),
        answer(400),
        answer(302, Location="https://files.test/login"),
        answer(204),
        answer(body=b"<html>Log in</html>", Content_Type="text/html"),
        answer(body=b"not json"),
        answer(body=b"{}"),
        answer(body=b"[]"),
        linked(None),
        linked(""),
        linked(7),
        answer(body=b'"' + b"x" * 2_000_000 + b'"'),
    ],
)
async def test_an_answer_without_a_link_fails_the_record(sent: Sent) -> None:
    async with resolving(sent, token="t0k3n") as (resolver, _):
        with pytest.raises(Refused) as caught:
            await resolver.resolve(RECORD)
    assert caught.value.failure in {FailureClass.RESOLVER_FAILED, FailureClass.REDIRECTED}
    assert "t0k3n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sent", "failure"),
    [
        (answer(429, Retry_After="3"), FailureClass.THROTTLED),
        (answer(503), FailureClass.THROTTLED),
        (answer(500), FailureClass.RESOLVER_FAILED),
        (answer(body=b'{"url": "htt', length=500), FailureClass.NETWORK),
        (Sent(b""), FailureClass.NETWORK),
    ],
)
async def test_trouble_of_the_resolver_is_worth_another_try(sent: Sent, failure: FailureClass) -> None:
    async with resolving(sent) as (resolver, _):
        with pytest.raises(Transient) as caught:
            await resolver.resolve(RECORD)
    assert caught.value.failure is failure


@pytest.mark.parametrize("path", ["/{Empty__c}", "/{Unknown__c}"])
async def test_a_record_without_the_value_is_not_asked_about(path: str) -> None:
    async with resolving(linked("https://files.test/a"), path) as (resolver, server):
        with pytest.raises(Refused, match="no value in"):
            await resolver.resolve(RECORD)
        assert server.asked == []


@pytest.mark.parametrize("value", ["..", ".", " .. ", "\ud800", " "])
def test_values_that_would_bend_the_path_are_refused(value: str) -> None:
    with pytest.raises(Refused):
        filled("https://v/{A}", {"A": value})


@pytest.mark.parametrize("url", ["https://{Tenant__c}.vendor.test/x", "https://vendor.test:{P}/x"])
def test_no_field_decides_the_host(url: str) -> None:
    settings = ResolverSettings.model_construct(url=url, json_pointer="/url", token=None)
    with pytest.raises(Usage, match="host"):
        resolver_origin(settings)


def test_a_template_names_its_fields_once() -> None:
    assert fields_of("https://v/{A__c}/{B__r.C}?x={A__c}&id={Id}") == ("A__c", "B__r.C")


DOCUMENT: dict[str, Any] = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, " ": 7, "~1": 2}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/m~0n", 8),
        ("/ ", 7),
        ("/~01", 2),
        ("/foo/2", None),
        ("/foo/-", None),
        ("/foo/01", None),
        ("/foo/0/x", None),
        ("/none/x", None),
    ],
)
def test_pointers_follow_rfc_6901(pointer: str, value: object) -> None:
    assert at(DOCUMENT, pointer) == value


def test_an_answer_may_be_the_link_itself() -> None:
    assert link_in(b'"https://files.test/a"', "") == "https://files.test/a"


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"url":' * 200_000, b"9" * 5_000])
async def test_an_answer_that_no_parser_takes_is_that_records_failure(body: bytes) -> None:
    async with resolving(answer(body=body, Content_Type="application/json")) as (resolver, _):
        with pytest.raises(Refused) as caught:
            await resolver.resolve(RECORD)
    assert caught.value.failure is FailureClass.RESOLVER_FAILED
