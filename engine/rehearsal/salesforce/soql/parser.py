"""SOQL as a tree, and the recursive-descent parser that grows it.

The subset: fields, ``parent__r.`` paths and aggregates; WHERE and HAVING with AND, OR, NOT and parentheses (AND and OR
cannot be mixed without parentheses, as in the service); GROUP BY, ORDER BY, LIMIT, OFFSET. No subqueries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from engine.rehearsal.salesforce.soql.lexer import Token, like_pattern, malformed, string_value, tokens
from engine.rehearsal.salesforce.wire import ApiError

T = TypeVar("T")
FUNCTIONS = frozenset({"COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG"})
CLAUSES = frozenset({"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET"})
MAX_OFFSET = 2_000
_MOST_ROWS = 2**31 - 1
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field, perhaps of a parent: ``Account__r.Name``."""

    path: str
    at: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over a field; ``operand`` is None only for COUNT()."""

    function: str
    operand: FieldRef | None
    at: int
    alias: str | None = None


Operand = FieldRef | Aggregate


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; ``kind`` is string, number, boolean, datetime, date or null."""

    kind: str
    value: str
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """``operand op literal``, or an IN list."""

    operand: Operand
    op: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by AND or OR."""

    word: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT something."""

    inner: Condition


Condition = Comparison | Junction | Negation


@dataclass(frozen=True, slots=True)
class Ordering:
    """One ORDER BY item; nulls come first unless told otherwise."""

    operand: Operand
    descending: bool
    nulls_first: bool


@dataclass(slots=True)
class Query:
    """A whole statement."""

    text: str
    select: list[Operand]
    sobject: str
    sobject_at: int
    where: Condition | None = None
    group_by: list[FieldRef] = field(default_factory=list)
    having: Condition | None = None
    order_by: list[Ordering] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    @property
    def is_count(self) -> bool:
        """Whether the answer is only a totalSize."""
        first = self.select[0]
        return isinstance(first, Aggregate) and first.operand is None

    @property
    def is_aggregate(self) -> bool:
        """Whether rows are AggregateResults."""
        return bool(self.group_by) or any(isinstance(item, Aggregate) for item in self.select)


def parse(text: str) -> Query:
    """The tree of a statement; raises ApiError MALFORMED_QUERY with the place of the trouble."""
    return _Parser(text).query()


def too_complicated() -> ApiError:
    """The statement is beyond what the service works out."""
    return ApiError(400, "QUERY_TOO_COMPLICATED", "query is either selecting too many fields or the filter is too deep")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0

    def query(self) -> Query:
        self._expect("SELECT")
        select = self._select()
        self._expect("FROM")
        source = self._name()
        query = Query(self._text, select, source.text, source.at)
        if self._accept("WHERE"):
            query.where = self._condition()
        if self._accept("GROUP"):
            self._expect("BY")
            query.group_by = self._comma_separated(self._field)
        if self._accept("HAVING"):
            query.having = self._condition()
        if self._accept("ORDER"):
            self._expect("BY")
            query.order_by = self._comma_separated(self._ordering)
        if self._accept("LIMIT"):
            query.limit = self._count()
        if self._accept("OFFSET"):
            query.offset = self._count()
            if query.offset > MAX_OFFSET:
                raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        if self._peek().kind != "end":
            raise self._unexpected(self._peek())
        self._check(query)
        return query

    def _check(self, query: Query) -> None:
        counts = [item for item in query.select if isinstance(item, Aggregate) and item.operand is None]
        if counts and (len(query.select) > 1 or query.group_by or query.order_by):
            raise malformed(self._text, counts[0].at, "COUNT() must be the only element of the SELECT list")
        if query.having is not None and not query.group_by:
            raise malformed(self._text, query.sobject_at, "HAVING needs a GROUP BY")
        if query.is_aggregate and not query.is_count and query.limit is not None and not query.group_by:
            raise malformed(
                self._text,
                query.sobject_at,
                "Non-grouped query that uses overall aggregate functions cannot also use LIMIT",
            )

    def _select(self) -> list[Operand]:
        return self._comma_separated(self._select_item)

    def _select_item(self) -> Operand:
        if self._peek().text == "(":
            raise malformed(self._text, self._peek().at, "this stand-in knows no parent-to-child subqueries")
        item = self._operand()
        following = self._peek()
        named = following.kind == "name" and not following.is_word(*CLAUSES)
        if isinstance(item, Aggregate) and item.operand is not None and named:
            self._advance()
            return Aggregate(item.function, item.operand, item.at, following.text)
        return item

    def _operand(self) -> Operand:
        token = self._name()
        if self._peek().text != "(":
            return FieldRef(token.text, token.at)
        if not token.is_word(*FUNCTIONS):
            raise malformed(self._text, token.at, f"unexpected token: '{token.text}'")
        self._advance()
        if self._peek().text == ")" and token.is_word("COUNT"):
            self._advance()
            return Aggregate("COUNT", None, token.at)
        inner = self._field()
        self._expect(")")
        return Aggregate(token.text.upper(), inner, token.at)

    def _condition(self) -> Condition:
        parts = [self._negatable()]
        word = self._peek()
        if not word.is_word("AND", "OR"):
            return parts[0]
        joint = word.text.upper()
        while self._accept(joint):
            parts.append(self._negatable())
        if self._peek().is_word("AND", "OR"):
            raise self._unexpected(self._peek())
        return Junction(joint, tuple(parts))

    def _negatable(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise too_complicated()
        found = self._one()
        self._depth -= 1
        return found

    def _one(self) -> Condition:
        if self._accept("NOT"):
            return Negation(self._negatable())
        if self._peek().text == "(":
            self._advance()
            inner = self._condition()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        operand = self._operand()
        token = self._advance()
        if token.kind == "operator":
            return Comparison(operand, token.text, (self._literal(),))
        if token.is_word("LIKE"):
            literal = self._advance()
            if literal.kind != "string":
                raise self._unexpected(literal)
            return Comparison(operand, "LIKE", (Literal("string", like_pattern(self._text, literal), literal.at),))
        if token.is_word("NOT"):
            self._expect("IN")
            return Comparison(operand, "NOT IN", self._list())
        if token.is_word("IN"):
            return Comparison(operand, "IN", self._list())
        raise self._unexpected(token)

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        if self._peek().is_word("SELECT"):
            raise malformed(self._text, self._peek().at, "this stand-in knows no semi-joins")
        values = self._comma_separated(self._literal)
        self._expect(")")
        return tuple(values)

    def _literal(self) -> Literal:
        token = self._advance()
        if token.kind == "string":
            return Literal("string", string_value(self._text, token), token.at)
        if token.kind in {"number", "datetime", "date"}:
            return Literal(token.kind, token.text, token.at)
        if token.is_word("TRUE", "FALSE"):
            return Literal("boolean", token.text.upper(), token.at)
        if token.is_word("NULL"):
            return Literal("null", "", token.at)
        raise self._unexpected(token)

    def _ordering(self) -> Ordering:
        operand = self._operand()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        nulls_first = True
        if self._accept("NULLS"):
            nulls_first = self._accept("FIRST")
            if not nulls_first:
                self._expect("LAST")
        return Ordering(operand, descending, nulls_first)

    def _field(self) -> FieldRef:
        token = self._name()
        return FieldRef(token.text, token.at)

    def _count(self) -> int:
        token = self._advance()
        if token.kind != "number" or not token.text.isdecimal():
            raise self._unexpected(token)
        return min(int(token.text), _MOST_ROWS)

    def _comma_separated(self, item: Callable[[], T]) -> list[T]:
        items = [item()]
        while self._peek().text == ",":
            self._advance()
            items.append(item())
        return items

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _advance(self) -> Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _accept(self, word: str) -> bool:
        if self._peek().is_word(word):
            self._advance()
            return True
        return False

    def _expect(self, word: str) -> None:
        token = self._advance()
        if not (token.is_word(word) or (token.kind == "mark" and token.text == word)):
            raise self._unexpected(token)

    def _name(self) -> Token:
        token = self._advance()
        if token.kind != "name" or token.is_word(*CLAUSES):
            raise self._unexpected(token)
        return token

    def _unexpected(self, token: Token) -> ApiError:
        return malformed(self._text, token.at, f"unexpected token: '{token.text}'")
