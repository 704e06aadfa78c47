"""SOQL text to tokens, with the escapes and the error form Salesforce documents."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.rehearsal.salesforce.wire import ApiError

MAX_STATEMENT = 100_000
MAX_STRING = 4_000

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d))
      | (?P<date>\d{4}-\d\d-\d\d(?![\dT]))
      | (?P<number>[+-]?\d+(?:\.\d+)?(?![\w.]))
      | (?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)
      | (?P<operator><=|>=|!=|=|<|>)
      | (?P<mark>[(),])
      | (?P<string>'(?:[^'\\]|\\.)*')""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is a group of the pattern above, or ``end``; ``at`` is the offset in the statement."""

    kind: str
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        """Whether this is one of these keywords (given in upper case)."""
        return self.kind == "name" and self.text.upper() in words


def tokens(soql: str) -> list[Token]:
    """All tokens of a statement, closed by an ``end`` token; raises ApiError MALFORMED_QUERY."""
    if len(soql) > MAX_STATEMENT:
        raise ApiError(400, "MALFORMED_QUERY", f"SOQL statements cannot be longer than {MAX_STATEMENT} characters.")
    found: list[Token] = []
    at = 0
    while at < len(soql):
        match = _TOKEN.match(soql, at)
        if match is None:
            raise malformed(soql, at, f"unexpected token: '{soql[at]}'")
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(Token(kind, match.group(), at))
        at = match.end()
    found.append(Token("end", "<EOF>", len(soql)))
    return found


def string_value(soql: str, token: Token) -> str:
    """The text inside a string literal; raises ApiError for an escape SOQL does not know."""
    body = token.text[1:-1]
    value = _ESCAPE.sub(lambda match: _plain(soql, token, match.group(1)), body) if "\\" in body else body
    return _bounded(soql, token, value)


def like_pattern(soql: str, token: Token) -> str:
    r"""The literal after LIKE as an SQL pattern under ``ESCAPE '\'``: ``\%`` and ``\_`` stay literal."""

    def one(match: re.Match[str]) -> str:
        escape = match.group(1)
        if escape in "%_":
            return "\\" + escape
        value = _plain(soql, token, escape)
        return value if value not in "%_\\" else "\\" + value

    return _bounded(soql, token, _ESCAPE.sub(one, token.text[1:-1]))


def _plain(soql: str, token: Token, escape: str) -> str:
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    known = _ESCAPES.get(escape.lower())
    if known is None:
        raise malformed(soql, token.at, f"Invalid string literal {token.text}. Illegal character sequence '\\{escape}'")
    return known


def _bounded(soql: str, token: Token, value: str) -> str:
    if len(value) > MAX_STRING:
        raise malformed(soql, token.at, f"string literals cannot be longer than {MAX_STRING} characters")
    return value


def malformed(soql: str, at: int, message: str) -> ApiError:
    """The statement cannot be read at this offset."""
    return located(soql, at, "MALFORMED_QUERY", message)


def located(soql: str, at: int, code: str, message: str) -> ApiError:
    """A 400 whose message shows the statement, a caret and the place, as the service does."""
    before = soql[:at]
    row = before.count("\n") + 1
    column = at - (before.rfind("\n") + 1)
    lines = soql.split("\n")
    line = lines[row - 1]
    start, end = max(0, column - 60), column + 60
    return ApiError(
        400,
        code,
        f"\n{line[start:end]}\n{' ' * (column - start)}^\nERROR at Row:{row}:Column:{column + 1}\n{message}",
    )
