"""Planted bugs of the way of a copy: each makes of the right thing the wrong one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.model.errors import Refused
from engine.model.facts import Proof
from engine.model.failures import FailureClass


def page_done(_right: Any) -> Any:
    def reached(self: Any, pages: Any) -> Any:
        found = None
        while pages:
            page, found = pages.popleft()
            self._left.pop(page, None)
        return found

    return reached


def key_is_free(_right: Any) -> Any:
    async def must_be_free(*_: Any, **__: Any) -> None:
        pass

    return must_be_free


def adopts_all(_right: Any) -> Any:
    async def equal(*_: Any) -> Proof:
        return Proof.CHECKSUM

    return equal


def proves_all(_right: Any) -> Any:
    return lambda *_: Proof.CHECKSUM


def never_adopts(_right: Any) -> Any:
    async def settle(*_: Any) -> Any:
        raise Refused(FailureClass.KEY_CONFLICT, "taken")

    return settle


def opens(_right: Any) -> Any:
    return lambda _found: None


def late_watermark(right: Any) -> Any:
    async def server_now(self: Any) -> Any:
        return await right(self) + timedelta(hours=1)

    return server_now


def no_sweep(_right: Any) -> Any:
    async def sweep(_self: Any) -> int:
        return 0

    return sweep
