"""Are the keys at fault, or this one request? An error that would end the run is checked first.

| what came                                      | what is asked                     | what it is                     |
|------------------------------------------------|-----------------------------------|--------------------------------|
| a bare 400, 401 or 403 to a HEAD               | the same by GET, which has a body | what that says; then as below  |
| a bare 401 or 403, others served meanwhile     | nothing                           | this object's                  |
| bad keys, a dead token, a wrong clock, no such | a listing of one key, with the    | all requests', where it hears  |
| bucket, another region, a redirect             | same keys                         | the like; otherwise this one's |

One request checks at a time, and those that were refused meanwhile share its result: once for a cause, not for a file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.faults import LOGIN, Patience, doubtful

Ask = Callable[[], Awaitable[object]]
"""Sends a request; raises StoreError where it is refused."""
OF_THE_BUCKET = ("x-amz-expected-bucket-owner", "x-amz-request-payer")
"""Headers of every request to a bucket."""


class Doubts:
    """Settles the doubtful errors of one side."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lock = asyncio.Lock()
        self._asked = -1

    async def settled(self, error: StoreError, began: int, plain: Ask, with_body: Ask | None) -> StoreError:
        """What the error really is. ``began``: ``patience.heard`` when the request was sent. ``plain`` lists one key.

        ``with_body`` asks what the HEAD asked, so that the answer has a body.
        """
        patience, denied = self._patience, error.bare and error.status != 400
        async with self._lock:
            if self._asked < began:
                if denied and patience.heard > began and patience.fault is None:
                    return error
                self._asked = patience.heard
                return await self._ask(error, plain, with_body)
            if patience.fault is not None:
                return patience.fault.again()
            if error.code in LOGIN:
                error.alone = True
                return error
            if denied:
                return error
        return await self._ask(error, plain, with_body)

    async def _ask(self, error: StoreError, plain: Ask, with_body: Ask | None) -> StoreError:
        if with_body is not None and error.bare:
            told = await heard(with_body)
            if told is None or not (doubtful(told) or told.bare or told.unsure):
                self._patience.well()
            error = told or StoreError(
                "BadAnswer", 0, f"a HEAD was refused ({error.status}), a GET right after it served"
            )
            if not doubtful(error):
                return error
        said = await heard(plain)
        if said is not None and said.unsure:
            return said
        if said is None or not doubtful(said):
            self._patience.well()
            error.alone = True
            return error
        if said.code in LOGIN:
            self._patience.amiss(said)
        return said


async def heard(ask: Ask) -> StoreError | None:
    """Why the request was refused; None where it was served, however oddly, or refused for its range alone."""
    try:
        await ask()
    except StoreError as error:
        return None if error.status in {412, 416} or error.code == "BadListing" else error
    return None


def of_the_bucket(headers: Fields) -> Fields:
    """Those headers that other requests to the bucket carry too."""
    return {name: headers[name] for name in OF_THE_BUCKET if name in headers}
