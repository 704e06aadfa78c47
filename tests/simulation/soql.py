"""As much SOQL as the engine asks: conditions over fields, AND, OR, brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

_STATEMENT = re.compile(
    r"SELECT (?P<fields>.+?) FROM (?P<object>\w+)(?: WHERE (?P<where>.+?))?(?: ORDER BY Id(?P<desc> DESC)?)?"
    r"(?: LIMIT (?P<limit>\d+))?"
)
_TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.)*'|[()]|,|<=|>=|<|>|=|[\w.:\-]+)")

Row = Mapping[str, object]
Test = Callable[[Row], bool]


class Statement:
    """One query, parsed."""

    def __init__(self, text: str) -> None:
        match = _STATEMENT.fullmatch(text)
        assert match is not None, text
        self.object = match["object"]
        self.fields = [field.strip() for field in match["fields"].split(",")]
        self.counts = self.fields == ["COUNT()"]
        self.descending = bool(match["desc"])
        self.limit = int(match["limit"]) if match["limit"] else None
        self.test: Test = _Parser(match["where"]).expression() if match["where"] else (lambda _row: True)


statement = lru_cache(maxsize=1_000)(Statement)
"""Parsed once: it keeps nothing of what it is asked."""


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))

    def expression(self) -> Test:
        tests, joined = [self._term()], ""
        while self._tokens and self._tokens[0] in {"AND", "OR"}:
            word = self._tokens.pop(0)
            assert joined in {"", word}, "AND and OR are mixed only by brackets"
            joined = word
            tests.append(self._term())
        if len(tests) == 1:
            return tests[0]
        every = all if joined == "AND" else any
        return lambda row: every(test(row) for test in tests)

    def _term(self) -> Test:
        if self._tokens[0] == "(":
            self._tokens.pop(0)
            inner = self.expression()
            assert self._tokens.pop(0) == ")"
            return inner
        field, operator = self._tokens.pop(0), self._tokens.pop(0)
        if operator == "IN":
            assert self._tokens.pop(0) == "("
            values = set()
            while (token := self._tokens.pop(0)) != ")":
                if token != ",":
                    values.add(_value(token))
            return lambda row: row[field] in values
        value = _value(self._tokens.pop(0))
        compare = _COMPARE[operator]
        return lambda row: compare(row[field], value)


_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "=": lambda a, b: a == b,
    ">": lambda a, b: str(a) > str(b),
    "<": lambda a, b: str(a) < str(b),
    ">=": lambda a, b: str(a) >= str(b),
    "<=": lambda a, b: str(a) <= str(b),
}


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None, text[at:]
        yield match[1]
        at = match.end()


def _value(token: str) -> object:
    if token.startswith("'"):
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    if token in {"TRUE", "FALSE"}:
        return token == "TRUE"
    return token.removesuffix("Z")[:19]
