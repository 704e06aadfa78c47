"""Spans of a bucket's keys, and where to cut one in two so that both halves hold keys.

Keys are ordered by their UTF-8 bytes, which is the order of Python's strings. All that is known of a bucket's keys is
its answer to "which key comes first behind this one?"; a cut asks that about ten times. First it finds the depth at
which the keys of the span differ: prefix by prefix, along the key that its listing has reached. There it halves the
letters that may follow. What turns out to be empty is taken off the span's end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

LAST = "\U0010ffff"
"""A text and this come behind every key that begins with the text."""
_DEEPEST = 250
"""Characters of a key looked at; with four bytes each they still fit a key's 1,024."""
_ASCII, _SURROGATES = 0x7F, range(0xD800, 0xE000)

Behind = Callable[[str], Awaitable[str | None]]
"""The first key of the bucket behind this text; None when there is none."""


@dataclass(slots=True, eq=False)
class Span:
    """Keys behind ``after``, up to ``until`` (inclusive; None: to the end) that are still to be listed."""

    after: str = ""
    until: str | None = None
    pages: int = 0
    """Listed since the span was made or cut."""
    due: int = 1
    """Pages after which it is worth a cut: then it has proved to be long."""
    cutting: bool = False

    def reaches(self, key: str | None) -> bool:
        """Whether the key lies before the span's end, listed already or not."""
        return key is not None and (self.until is None or key <= self.until)

    def end_at(self, key: str) -> None:
        """Nothing lies behind this key."""
        if self.until is None or key < self.until:
            self.until = key


async def cut(span: Span, behind: Behind) -> Span | None:
    """Cut the span while it is being listed: it keeps the first half, the other is returned. None: there was no cut.

    Raises what ``behind`` raises.
    """
    after = span.after
    depth, following = await _parting(span, after[:_DEEPEST], behind)
    if following is None:
        return None
    middle = await _between(span, after[:depth], following, behind)
    if not span.after < middle or not span.reaches(middle) or middle == span.until:
        return None  # the listing has passed the place meanwhile
    other = Span(middle, span.until)
    span.until = middle
    return other


async def _parting(span: Span, along: str, behind: Behind) -> tuple[int, str | None]:
    """How many characters all keys of the span share with ``along``, and the first key that differs from it there."""
    shallow, deep, following = 0, len(along), None
    if span.until is not None:
        shallow = next((n for n, (one, other) in enumerate(zip(along, span.until, strict=False)) if one != other), 0)
    # all keys begin with along[:shallow]; nothing below ``deep`` is tried
    while shallow < deep:
        depth = (shallow + deep + 1) // 2
        found = await behind(along[:depth] + LAST)
        if span.reaches(found):
            deep, following = depth - 1, found
        else:
            shallow = depth
            span.end_at(along[:depth] + LAST)
    return shallow, following


async def _between(span: Span, prefix: str, following: str, behind: Behind) -> str:
    """A key with keys of the span before and behind it. ``following``: the first that differs from its first ones."""
    depth = len(prefix)
    low = ord(following[depth])
    high = _ASCII if low < _ASCII else ord(LAST)
    if span.until is not None and span.until.startswith(prefix) and len(span.until) > depth:
        high = min(max(high, low), ord(span.until[depth]))
    while high - low > 1:
        letter = (low + high) // 2
        middle = prefix + chr(_SURROGATES.start - 1 if letter in _SURROGATES else letter)
        if span.reaches(await behind(middle)):
            return middle
        span.end_at(middle)
        high = letter
    return following[:depth] + chr(_before(low)) + LAST if low else prefix


def _before(letter: int) -> int:
    return _SURROGATES.start - 1 if letter - 1 in _SURROGATES else letter - 1
