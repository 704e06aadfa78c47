"""Listing in parallel on real servers: every name once, by both transports, cut and killed on the way."""

from __future__ import annotations

import secrets

import pytest

from engine.limiting.clock import SystemClock
from engine.limiting.retry import Retries
from engine.model.errors import EngineError, Refused
from engine.model.failures import FailureClass
from engine.rehearsal.objects import ObjectServer
from engine.s3.api.answers import Listed, ListingPage
from engine.s3.api.survey import Bounds, Survey
from engine.s3.open import open_s3
from tests.support.s3 import AWKWARD, settings_for
from tests.support.servers.client import client_of

pytestmark = pytest.mark.parametrize(
    "served",
    [
        pytest.param(("moto", "fast"), id="moto-fast"),
        pytest.param(("moto", "sdk"), id="moto-sdk"),
        pytest.param(("swift", "fast"), id="swift-fast", marks=pytest.mark.swift),
        pytest.param(("swift", "sdk"), id="swift-sdk", marks=pytest.mark.swift),
    ],
)


async def test_every_name_is_listed_once_though_the_listing_is_cut_and_killed(
    served: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    name, transport = served
    server: ObjectServer = request.getfixturevalue(name)
    vendor = f"vendor-{secrets.token_hex(6)}"
    client = client_of(server)
    client.create_bucket(Bucket=vendor)
    bodies = {key: key.encode() for key in (*AWKWARD, *(f"docs/{n:03d}.pdf" for n in range(60)))}
    for key, body in bodies.items():
        client.put_object(Bucket=vendor, Key=key, Body=body)
    rows: list[Listed] = []
    remaining: list[Bounds] = [("", None)]
    asked: list[int] = []

    async with open_s3(settings_for(server, vendor), SystemClock(), transport=transport) as s3:  # type: ignore[arg-type]
        lister = (await s3.source_access.readers())[0]

        async def ask(after: str, token: str, limit: int) -> ListingPage:
            asked.append(limit)
            if len(asked) == 12:
                raise Refused(FailureClass.NETWORK, "killed")
            return await lister.page(vendor, after, token, min(limit, 4))

        async def put(listed: list[Listed], left: list[Bounds]) -> bool:
            nonlocal remaining
            rows.extend(listed)
            remaining = left
            return True

        with pytest.raises(EngineError, match="killed"):
            await Survey(ask, remaining, workers=4, batch=5).run(put)
        assert remaining
        assert await Survey(ask, remaining, workers=4, batch=5).run(put)
    client.close()

    assert sorted(row.key for row in rows) == sorted(bodies)
    assert {row.key: row.size for row in rows} == {key: len(body) for key, body in bodies.items()}
    assert 1 in asked  # it was cut


async def test_a_bucket_that_does_not_exist_says_so(served: tuple[str, str], request: pytest.FixtureRequest) -> None:
    name, transport = served
    server: ObjectServer = request.getfixturevalue(name)

    async def put(rows: list[Listed], left: list[Bounds]) -> bool:
        return True

    async with open_s3(settings_for(server, "nowhere"), SystemClock(), transport=transport) as s3:  # type: ignore[arg-type]
        with pytest.raises(EngineError, match="NoSuchBucket"):
            await (await s3.source_access.readers())[0].survey(
                f"no-{secrets.token_hex(6)}", [("", None)], put, Retries(SystemClock(), 1)
            )
