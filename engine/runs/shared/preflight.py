"""What must hold before a run may start: who answers, what is there. Nothing is written; refusals are exit 4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from engine.limiting.clock import Clock
from engine.limiting.retry import retry
from engine.model.errors import Blocked, Fatal, Paused, Transient
from engine.model.failures import FailureClass
from engine.model.record import ObjectShape, Scope
from engine.pipeline.stop import CutShort, Stop, unless_cut
from engine.runs.shared.assembly import Adapters, Services
from engine.salesforce.connection import Salesforce
from engine.salesforce.shape import Organization

T = TypeVar("T")

_TRIES = 3
"""Tries at a store that has not answered yet: a hiccup is forgiven, a wrong address is told within seconds."""


_SAME = "the same command starts again"


async def check_org(salesforce: Salesforce, scope: Scope) -> tuple[Organization, ObjectShape]:
    """The org and the object of the settings, and that the scope can be asked for. Raises Fatal."""
    try:
        organization = await salesforce.organization()
        shape = await salesforce.shape()
        await salesforce.pages.check(scope)
    except Transient as error:
        raise _silent("Salesforce", error, "check salesforce.login_url and this machine's network") from error
    return organization, shape


async def check_own_org(services: Services, scope: Scope) -> tuple[Organization, ObjectShape]:
    """The same, and that the tracking DB follows this org. Raises Fatal."""
    organization, shape = await check_org(services.salesforce, scope)
    await services.ledger.check_org(organization.id)
    return organization, shape


async def check_stores(adapters: Adapters) -> None:
    """Both sides of S3 answer, and the buckets exist. Raises Fatal."""
    sides: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("destination", adapters.s3.destination.check),
        ("source", adapters.s3.source_access.check),
    ]
    for side, check in sides:
        await _answering(side, check, adapters.clock)


class Halted(Fatal):
    """A signal came before the work proper: the run ends here, and its row says that it was stopped."""


class _Interrupted(Halted):
    exit_code = 130


class _Terminated(Halted):
    exit_code = 143


_HALTED: dict[int, type[Fatal]] = {each.exit_code: each for each in (_Interrupted, _Terminated)}


async def unless_stopped(
    work: Coroutine[Any, Any, T], stop: Stop, *, safe: str = "nothing was changed", hint: str = _SAME
) -> T:
    """``work``, given up as soon as a stop is asked for. ``work`` may be cancelled anywhere; ``safe`` says what that
    leaves. Raises Halted with a signal's exit code, Paused for other stops."""
    try:
        return await unless_cut(work, stop)
    except CutShort:
        kind = _HALTED.get(stop.exit_code, Paused)
        raise kind(f"{stop.reason} before the start: {safe}", hint=hint) from None


async def _answering(side: str, check: Callable[[], Awaitable[None]], clock: Clock) -> None:
    try:
        await retry(check, clock=clock, attempts=_TRIES)
    except Transient as error:
        hint = f"check {side}.endpoint_url, {side}.region, network.proxy and this machine's network"
        raise _silent(f"the {side}'s S3 service", error, hint) from error


def _silent(who: str, error: Transient, hint: str) -> Blocked | Paused:
    if error.failure is FailureClass.THROTTLED:
        return Paused(f"{who} is overloaded or in maintenance: {error}", hint="start the same command again later")
    return Blocked(f"{who} does not answer: {error}", hint=hint)
