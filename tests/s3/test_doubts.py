"""HEADs that say nothing, keys that die, and single objects that answer as if the keys were bad: by both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.errors import Blocked, EngineError, Paused, Refused, Transient
from engine.model.facts import Method, ObjectFacts
from engine.model.failures import FailureClass
from engine.s3.open import S3, open_s3
from tests.support.s3 import Bytes, at, settings_for
from tests.support.s3_double import MD5, aws, document
from tests.support.servers.capture import Double, Recorded, Reply, capture_server

DENIED = (403, "AccessDenied")
REFUSALS = [
    (400, "ExpiredToken", "expired"),
    (403, "SignatureDoesNotMatch", "secret key"),
    (403, "InvalidAccessKeyId", "unknown to the store"),
    (403, "RequestTimeTooSkewed", "clock"),
]


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


class Store:
    """``aws``, that refuses what ``refuse`` names with a status and a code; a HEAD has no body to hold the code."""

    def __init__(self, refuse: Callable[[Recorded], tuple[int, str] | None] = lambda _request: None) -> None:
        self.refuse = refuse

    def __call__(self, request: Recorded) -> Reply:
        refused = self.refuse(request)
        if refused is None:
            return listing() if "list-type=2" in request.target else aws(request)
        status, code = refused
        return Reply(status, {}, b"" if request.method == "HEAD" else document("Error", Code=code, Message="no"))


def listing() -> Reply:
    return Reply(200, {}, document("ListBucketResult", IsTruncated="false"))


def always(status: int, code: str) -> Callable[[Recorded], tuple[int, str]]:
    return lambda _request: (status, code)


def of_key(name: str, status: int, code: str) -> Callable[[Recorded], tuple[int, str] | None]:
    return lambda request: (status, code) if request.path.endswith(name) else None


def signed_by(key: str, status: int, code: str) -> Callable[[Recorded], tuple[int, str] | None]:
    return lambda request: (status, code) if f"Credential={key}/" in request.headers["authorization"] else None


@asynccontextmanager
async def facing(store: Store, transport: Any, **more: Any) -> AsyncIterator[tuple[S3, Double]]:
    async with (
        capture_server(otherwise=store) as double,
        open_s3(settings_for(double.server, **more), SystemClock(), transport=transport) as s3,
    ):
        yield s3, double


async def told(s3: S3, key: str = "a") -> EngineError | None:
    try:
        await s3.source.facts(at("vendor", key))
    except EngineError as error:
        return error
    return None


@pytest.mark.parametrize(("status", "code", "says"), REFUSALS)
async def test_keys_that_are_refused_from_the_start_are_exit_4_with_the_cause(
    transport: Any, status: int, code: str, says: str
) -> None:
    async with facing(Store(always(status, code)), transport) as (s3, _):
        looks = [
            s3.source.facts(at("vendor", "a")),
            s3.source_access.probe([at("vendor", "a")]),
            s3.source_access.check(),
            s3.destination.check(),
        ]
        for look in looks:
            with pytest.raises(Blocked, match=says) as blocked:
                await look
            assert blocked.value.hint


@pytest.mark.parametrize("code", ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException"])
async def test_a_wrong_region_is_exit_4_with_the_cause(transport: Any, code: str) -> None:
    async with facing(Store(always(400, code)), transport) as (s3, _):
        for look in (s3.source_access.check(), s3.destination.check(), s3.source.facts(at("vendor", "a"))):
            with pytest.raises(Blocked, match="region"):
                await look


async def test_a_bare_refusal_that_nothing_explains_is_no_crash(transport: Any) -> None:
    async with facing(Store(always(400, "InvalidRequest")), transport) as (s3, _):
        with pytest.raises(Blocked, match="InvalidRequest"):
            await s3.destination.check()
        await s3.source_access.check()
        assert (await s3.source_access.probe([at("vendor", "a")])).method is Method.HTTP


async def test_wrong_keys_of_the_source_are_never_a_silent_fall_to_http(transport: Any) -> None:
    store = Store(signed_by("typo", 403, "SignatureDoesNotMatch"))
    async with facing(store, transport, source_keys=("typo", "s"), destination_keys=("ours", "s")) as (s3, _):
        store.refuse = lambda request: (
            DENIED
            if "Credential=ours/" in request.headers["authorization"] and "/vendor" in request.path
            else signed_by("typo", 403, "SignatureDoesNotMatch")(request)
        )
        with pytest.raises(Blocked, match="secret key") as blocked:
            await s3.source_access.probe([at("vendor", "a")])
        assert "source" in blocked.value.hint


async def test_the_copying_sides_own_troubles_leave_the_source_to_its_own_keys(transport: Any) -> None:
    store = Store(signed_by("ours", 400, "AuthorizationHeaderMalformed"))
    async with facing(store, transport, source_keys=("theirs", "s"), destination_keys=("ours", "s")) as (s3, _):
        assert (await s3.source_access.probe([at("vendor", "a")])).method is Method.STREAM


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "SignatureDoesNotMatch"), (403, "InvalidAccessKeyId"), (400, "AuthorizationHeaderMalformed")],
)
async def test_one_object_that_is_told_the_keys_are_bad_is_that_records_failure(
    transport: Any, status: int, code: str, *, before: bool
) -> None:
    async with facing(Store(of_key("odd", status, code)), transport) as (s3, _):
        if before:
            assert await told(s3) is None
        error = await told(s3, "odd")
        assert isinstance(error, Refused)
        assert error.failure is FailureClass.SOURCE_DENIED
        assert code in str(error)
        for write in (
            s3.destination.store(Bytes(b"hello"), "odd"),
            s3.destination.copy(at("vendor", "a"), ObjectFacts(5, MD5), "odd"),
        ):
            with pytest.raises(Refused) as refused:
                await write
            assert refused.value.failure is FailureClass.DESTINATION_DENIED
        assert await told(s3) is None


async def test_one_object_that_is_told_its_token_is_dead_is_tried_like_any_other(transport: Any) -> None:
    async with facing(Store(of_key("odd", 400, "ExpiredToken")), transport) as (s3, _):
        error = await told(s3, "odd")
        assert isinstance(error, Transient)
        assert not error.patient


async def test_a_denied_object_says_so_and_a_bare_400_is_asked_for_its_reason(transport: Any) -> None:
    def refuse(request: Recorded) -> tuple[int, str] | None:
        return DENIED if request.path.endswith("denied") else of_key("sse-c", 400, "InvalidRequest")(request)

    async with facing(Store(refuse), transport) as (s3, _):
        denied, unfit = await told(s3, "denied"), await told(s3, "sse-c")
        assert isinstance(denied, Refused)
        assert "AccessDenied" in str(denied)
        assert isinstance(unfit, Refused)
        assert (unfit.failure, "InvalidRequest" in str(unfit)) == (FailureClass.REJECTED, True)


async def test_a_head_that_is_refused_where_a_get_is_served_is_tried_again(transport: Any) -> None:
    """Keys that were renewed in between, or a proxy that knows no HEAD."""
    store = Store(lambda request: (400, "") if request.method == "HEAD" and "/vendor" in request.path else None)
    async with facing(store, transport) as (s3, _):
        assert isinstance(await told(s3), Transient)
        async with s3.source.open(at("vendor", "a"), None) as stream:
            assert b"".join([bytes(chunk) async for chunk in stream.chunks()]) == b"hello"


def asked(double: Double) -> int:
    return sum(each.method == "GET" for each in double.requests)


async def test_many_denied_objects_ask_once_and_not_once_each(transport: Any) -> None:
    async with facing(Store(always(*DENIED)), transport) as (s3, double):
        errors = await asyncio.gather(*(told(s3, str(n)) for n in range(8)))
        assert all(isinstance(error, Refused) and error.failure is FailureClass.SOURCE_DENIED for error in errors)
        assert asked(double) == 1


async def test_many_callers_whose_token_has_died_ask_once_and_pause(transport: Any) -> None:
    store = Store()
    async with facing(store, transport) as (s3, double):
        assert await told(s3) is None
        store.refuse = always(400, "ExpiredToken")
        errors = await asyncio.gather(*(told(s3, str(n)) for n in range(8)))
        assert all(isinstance(error, Paused) for error in errors)
        assert asked(double) == 2


@pytest.mark.parametrize("facts", [None, ObjectFacts(5, MD5)])
async def test_reading_and_listing_with_a_token_that_has_died_pauses_too(
    transport: Any, facts: ObjectFacts | None
) -> None:
    store = Store()
    async with facing(store, transport) as (s3, _):
        assert await told(s3) is None
        store.refuse = always(400, "ExpiredToken")
        with pytest.raises(Paused):
            async with s3.source.open(at("vendor", "a"), facts):
                pass
        with pytest.raises(Paused):
            await s3.source.page("vendor", "", "", 1000)


@pytest.mark.parametrize(("status", "code"), [(400, "ExpiredToken"), (403, "InvalidAccessKeyId")])
async def test_keys_that_die_are_looked_up_afresh_whatever_the_transport(
    transport: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, code: str
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def write(access: str) -> None:
        (tmp_path / "credentials").write_text(f"[p]\naws_access_key_id = {access}\naws_secret_access_key = s\n")

    write("OLD")
    profile = {"access_key_id": None, "secret_access_key": None, "profile": "p"}
    store = Store()
    async with facing(store, transport, source=profile) as (s3, _):
        assert await told(s3) is None
        store.refuse = signed_by("OLD", status, code)
        waits = await told(s3)
        assert isinstance(waits, Transient)
        assert waits.patient
        (tmp_path / "credentials").unlink()
        assert isinstance(await told(s3), Transient)  # whoever renews them has not written the file yet
        write("NEW")
        await told(s3)
        assert await told(s3) is None
