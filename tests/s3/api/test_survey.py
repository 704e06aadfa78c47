"""Listing a bucket in parallel: exact for every layout of keys, across kills, and quick to spread."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.errors import EngineError, Fatal, Refused
from engine.s3.api.answers import Listed, ListingPage
from engine.s3.api.spans import LAST, Span, cut
from engine.s3.api.survey import Bounds, Survey


class Bucket:
    """A bucket in memory whose pages take a moment; ``page`` rows each."""

    def __init__(self, keys: Iterable[str], page: int = 3, *, shuffle: int | None = None) -> None:
        self.keys = sorted(set(keys), key=str.encode)
        self.page = page
        self.asked: Counter[int] = Counter()
        self.at_once = self.most_at_once = 0
        self.fail_in: int | None = None
        self._chance = random.Random(shuffle) if shuffle is not None else None

    async def ask(self, after: str, token: str, limit: int) -> ListingPage:
        self.asked[limit] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(self._chance.randrange(4) if self._chance else 1):
            await asyncio.sleep(0)
        self.at_once -= 1
        if self.fail_in is not None:
            self.fail_in -= 1
            if self.fail_in < 0:
                raise Fatal("killed")
        start = bisect_right(self.keys, token.removeprefix("behind ") if token else after)
        keys = self.keys[start : start + min(limit, self.page)]
        more = start + len(keys) < len(self.keys)
        rows = [Listed(key, len(key), f"e-{key}", "STANDARD", "") for key in keys]
        return ListingPage(rows, f"behind {keys[-1]}" if more and keys else "")


class Sink:
    """What a kill leaves: rows and spans that were stored together."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.spans: list[Bounds] = [("", None)]
        self.enough = -1

    async def put(self, rows: list[Listed], spans: list[Bounds]) -> bool:
        await asyncio.sleep(0)
        self.keys += [row.key for row in rows]
        self.spans = spans
        return not 0 <= self.enough <= len(self.keys)


async def survey(bucket: Bucket, sink: Sink, *, workers: int = 5, batch: int = 7) -> bool:
    return await Survey(bucket.ask, sink.spans, workers=workers, batch=batch).run(sink.put)


letters = st.characters(exclude_categories=["Cs"])
any_key = st.one_of(
    st.text(letters, min_size=1, max_size=6),
    st.text("ab/", min_size=1, max_size=9),
    st.integers(0, 10**7).map(lambda n: f"docs/{n:08d}.pdf"),
    st.sampled_from(["z", LAST, LAST + "x", "\x00", "é", "\ud7ff", "\ue000", "a" * 300, "a" * 300 + "b", "docs/"]),
)


@settings(deadline=None)
@given(st.lists(any_key, max_size=150), st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000))
def test_every_key_is_listed_exactly_once(keys: list[str], page: int, workers: int, seed: int) -> None:
    bucket, sink = Bucket(keys, page, shuffle=seed), Sink()
    assert asyncio.run(survey(bucket, sink, workers=workers))
    assert sorted(sink.keys, key=str.encode) == bucket.keys
    assert sink.spans == []


@settings(deadline=None)
@given(st.lists(any_key, max_size=200), st.lists(st.integers(0, 60), max_size=8), st.integers(0, 1000))
def test_a_listing_that_is_killed_again_and_again_stays_exact(keys: list[str], kills: list[int], seed: int) -> None:
    bucket, sink = Bucket(keys, 2, shuffle=seed), Sink()

    async def lives() -> None:
        for requests in kills:
            bucket.fail_in = requests
            try:
                await survey(bucket, sink)
            except EngineError:
                continue
            break
        bucket.fail_in = None
        if sink.spans:
            await survey(bucket, sink)

    asyncio.run(lives())
    assert sorted(sink.keys, key=str.encode) == bucket.keys


@settings(deadline=None)
@given(st.lists(any_key, min_size=1, max_size=120), st.data())
def test_both_halves_of_a_cut_hold_keys_and_nothing_is_lost(keys: list[str], data: st.DataObject) -> None:
    bucket = Bucket(keys)
    after = data.draw(st.sampled_from(bucket.keys))
    until = data.draw(st.sampled_from([None, *[key for key in bucket.keys if key > after]]))
    span = Span(after, until)
    before = [key for key in bucket.keys if key > span.after and span.reaches(key)]
    asked = 0

    async def behind(text: str) -> str | None:
        nonlocal asked
        asked += 1
        start = bisect_right(bucket.keys, text)
        return bucket.keys[start] if start < len(bucket.keys) else None

    other = asyncio.run(cut(span, behind))
    halves = [span] if other is None else [span, other]
    held = [[key for key in bucket.keys if key > each.after and each.reaches(key)] for each in halves]
    assert [key for half in held for key in half] == before
    assert other is None or held[1]
    assert asked <= 9 + 21


LAYOUTS = {
    "numbers": [f"docs/{n:07d}/file.pdf" for n in range(20_000)],
    "dates": [f"up/20{y:02d}/{m:02d}/{n}.pdf" for y in range(10, 20) for m in range(1, 13) for n in range(170)],
    "hashes": [f"{random.Random(n).getrandbits(128):032x}" for n in range(20_000)],
    "one letter": ["a" * n for n in range(1, 200)] + [f"{'a' * 200}{n:05d}" for n in range(20_000)],
    "japanese": [f"日本語/{chr(0x4E00 + n % 900)}{n}" for n in range(20_000)],
    "a lump and a tail": ["0", *[f"lump/{n:06d}" for n in range(20_000)], "z", "zz", "é"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_every_layout_spreads_over_the_workers(layout: str) -> None:
    bucket, sink = Bucket(LAYOUTS[layout], 100), Sink()
    rounds = 0

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    counting = asyncio.ensure_future(count_rounds())
    await survey(bucket, sink, workers=10, batch=5000)
    counting.cancel()
    pages = -(-len(bucket.keys) // 100)
    assert sorted(sink.keys) == bucket.keys
    assert bucket.asked[1000] < 1.6 * pages
    assert bucket.asked[1] < 2 * pages
    assert rounds < pages / 2  # one worker alone needs at least a round a page


async def test_a_small_bucket_takes_one_request() -> None:
    bucket, sink = Bucket(["a", "b"], 1000), Sink()
    assert await survey(bucket, sink)
    assert (sink.keys, bucket.asked) == (["a", "b"], Counter({1000: 1}))


async def test_an_empty_bucket_is_listed_too() -> None:
    sink = Sink()
    assert await survey(Bucket([]), sink)
    assert (sink.keys, sink.spans) == ([], [])


async def test_enough_is_enough() -> None:
    bucket, sink = Bucket([f"{n:05d}" for n in range(5000)], 10), Sink()
    sink.enough = 300
    assert not await survey(bucket, sink, batch=50)
    assert 300 <= len(sink.keys) < 1000
    assert sink.spans


async def test_rows_wait_for_the_sink() -> None:
    bucket, sink = Bucket([f"{n:05d}" for n in range(5000)], 10), Sink()
    limiter, held = asyncio.Event(), 0

    async def put(rows: list[Listed], spans: list[Bounds]) -> bool:
        nonlocal held
        await limiter.wait()
        held = max(held, len(rows))
        return await sink.put(rows, spans)

    listing = asyncio.ensure_future(Survey(bucket.ask, workers=4, batch=100).run(put))
    for _ in range(500):
        await asyncio.sleep(0)
    pages_while_waiting = bucket.asked[1000]
    limiter.set()
    assert await listing
    assert pages_while_waiting <= (100 + 200) // 10 + 2 * 4
    assert held <= 200 + 4 * 10
    assert sink.keys != []


class Unruly(Bucket):
    """Answers as some stores do."""

    def __init__(self, keys: Sequence[str], how: str) -> None:
        super().__init__(keys, 3)
        self.how = how

    async def ask(self, after: str, token: str, limit: int) -> ListingPage:
        if self.how == "ignores where to start":
            return await super().ask("", "", limit)
        page = await super().ask(after, token, limit)
        if self.how == "backwards":
            return ListingPage(page.rows[::-1], page.token)
        return ListingPage([page.rows[0], *page.rows], page.token)


@pytest.mark.parametrize("how", ["ignores where to start", "backwards", "doubles a row"])
async def test_a_store_that_cannot_be_listed_in_parts_is_refused(how: str) -> None:
    with pytest.raises(Refused, match="cannot be listed in parts"):
        await survey(Unruly([f"{n:03d}" for n in range(20)], how), Sink())
