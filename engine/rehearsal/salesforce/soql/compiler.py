"""A SOQL tree to one SQL statement with bound parameters, and the shape its rows take in the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.rehearsal.salesforce.schema import NUMERIC, TEXTUAL, Field, Schema, SObject
from engine.rehearsal.salesforce.soql.lexer import located, malformed
from engine.rehearsal.salesforce.soql.literals import bound_value
from engine.rehearsal.salesforce.soql.parser import (
    Aggregate,
    Comparison,
    Condition,
    FieldRef,
    Junction,
    Operand,
    Ordering,
    Query,
)
from engine.rehearsal.salesforce.soql.shape import Column, Shape
from engine.rehearsal.salesforce.wire import ApiError

MAX_RELATIONSHIP_LEVELS = 5
_ADVICE = "Please reference your WSDL or the describe call for the appropriate names."


@dataclass(slots=True)
class Compiled:
    """A statement ready to run, in pieces of SQL.

    ``params`` bind ``where`` and ``having``, in that order. Column 0 is always the row's Id unless it is an aggregate.
    """

    query: Query
    sobject: SObject
    columns: str
    source: str
    where: str
    group: str
    order: str
    params: list[Any]
    shape: Shape
    long_texts: int
    include_deleted: bool

    def sql(self, columns: str | None = None) -> str:
        """The SELECT without LIMIT."""
        picked = self.columns if columns is None else columns
        return f"SELECT {picked} FROM {self.source} WHERE {self.where}{self.group}{self.order}"  # noqa: S608


def compile_query(query: Query, schema: Schema, *, include_deleted: bool = False) -> Compiled:
    """Check names and types against the schema and write the SQL; raises ApiError as the service would."""
    return _Compiler(query, schema).compiled(include_deleted)


@dataclass(slots=True)
class _Place:
    """A field where it was found: its SQL and the relationships on the way."""

    sql: str
    field: Field
    path: tuple[str, ...]
    nullable: bool


@dataclass
class _Compiler:
    query: Query
    schema: Schema
    params: list[Any] = field(default_factory=list)
    joins: dict[tuple[str, ...], tuple[str, SObject]] = field(default_factory=dict)
    join_sql: str = ""

    def compiled(self, include_deleted: bool) -> Compiled:
        query = self.query
        sobject = self.schema.find(query.sobject)
        if sobject is None:
            raise located(
                query.text,
                query.sobject_at,
                "INVALID_TYPE",
                f"sObject type '{query.sobject}' is not supported. If you are attempting to use a custom object, be "
                f"sure to append the '__c' after the entity name. {_ADVICE}",
            )
        if sobject.restriction is not None:
            raise ApiError(400, *sobject.restriction)
        self.joins[()] = ("t", sobject)
        columns, shape, long_texts = self._aggregates() if query.is_aggregate else self._columns(sobject)
        where = ["1"] if include_deleted else ['t."IsDeleted" = 0']
        if query.where is not None:
            where.append(self._condition(query.where))
        group = ", ".join(self._groupable(item).sql for item in query.group_by)
        having = f" HAVING {self._condition(query.having)}" if query.having is not None else ""
        order = ", ".join(self._ordering(item) for item in query.order_by)
        return Compiled(
            query=query,
            sobject=sobject,
            columns=columns,
            source=f'"{sobject.name}" t{self.join_sql}',
            where=" AND ".join(where),
            group=f" GROUP BY {group}{having}" if group else "",
            order=f" ORDER BY {order}" if order else "",
            params=self.params,
            shape=shape,
            long_texts=long_texts,
            include_deleted=include_deleted,
        )

    def _columns(self, sobject: SObject) -> tuple[str, Shape, int]:
        shape = Shape(sobject.name)
        sql = ['t."Id"']
        seen: set[tuple[str, ...]] = set()
        long_texts = 0
        for item in self.query.select:
            if not isinstance(item, FieldRef):
                raise malformed(self.query.text, item.at, "unexpected aggregate")
            place = self._place(item)
            key = (*place.path, place.field.name)
            if key in seen:
                raise malformed(self.query.text, item.at, f"duplicate field selected: {item.path}")
            seen.add(key)
            long_texts += place.field.long_text
            for level in range(1, len(place.path) + 1):
                alias, parent = self.joins[place.path[:level]]
                if shape.add_parent(place.path[:level], parent.name, len(sql)):
                    sql.append(f'{alias}."Id"')
            shape.add_column(place.path, Column(place.field.name, len(sql), place.field.type))
            sql.append(place.sql)
        return ", ".join(sql), shape, long_texts

    def _aggregates(self) -> tuple[str, Shape, int]:
        shape = Shape("AggregateResult", aggregate=True)
        if self.query.is_count:
            return "COUNT(*)", shape, 0
        grouped = {self._groupable(item).sql for item in self.query.group_by}
        sql: list[str] = []
        unnamed = 0
        for item in self.query.select:
            if isinstance(item, Aggregate):
                text, kind = self._aggregate(item)
                if item.alias is None:
                    name, unnamed = f"expr{unnamed}", unnamed + 1
                else:
                    name = item.alias
            else:
                place = self._place(item)
                text, kind, name = place.sql, place.field.type, place.field.name
                if text not in grouped:
                    raise malformed(self.query.text, item.at, f"Field must be grouped or aggregated: {item.path}")
            shape.add_column((), Column(name, len(sql), kind))
            sql.append(text)
        return ", ".join(sql), shape, 0

    def _aggregate(self, item: Aggregate) -> tuple[str, str]:
        if item.operand is None:
            return "COUNT(*)", "int"
        place = self._place(item.operand)
        if item.function == "COUNT":
            return f"COUNT({place.sql})", "int"
        if item.function == "COUNT_DISTINCT":
            return f"COUNT(DISTINCT {place.sql})", "int"
        if item.function in {"SUM", "AVG"} and place.field.type not in NUMERIC:
            raise malformed(
                self.query.text,
                item.at,
                f"field {place.field.name} does not support aggregate operator {item.function}",
            )
        return f"{item.function}({place.sql})", place.field.type

    def _groupable(self, item: FieldRef) -> _Place:
        place = self._place(item)
        if not place.field.filterable or place.field.name == "Id":
            raise malformed(self.query.text, item.at, f"field '{item.path}' can not be grouped in a query call")
        return place

    def _place(self, ref: FieldRef) -> _Place:
        *relationships, name = ref.path.split(".")
        alias, sobject = self.joins[()]
        if relationships and relationships[0].lower() == sobject.name.lower():
            relationships = relationships[1:]
        if len(relationships) > MAX_RELATIONSHIP_LEVELS:
            raise malformed(self.query.text, ref.at, "only 5 levels of parent relationships are allowed")
        path: tuple[str, ...] = ()
        for relationship in relationships:
            path, alias, sobject = self._join(path, alias, sobject, relationship, ref)
        found = sobject.field(name)
        if found is None:
            raise located(
                self.query.text,
                ref.at,
                "INVALID_FIELD",
                f"No such column '{name}' on entity '{sobject.name}'. If you are attempting to use a custom field, be "
                f"sure to append the '__c' after the custom field name. {_ADVICE}",
            )
        return _Place(f'{alias}."{found.name}"', found, path, found.nillable or bool(path))

    def _join(
        self, path: tuple[str, ...], alias: str, sobject: SObject, relationship: str, ref: FieldRef
    ) -> tuple[tuple[str, ...], str, SObject]:
        link = sobject.parent(relationship)
        parent = self.schema.find(link.reference_to[0]) if link is not None else None
        if link is None or link.relationship is None or parent is None:
            raise located(
                self.query.text,
                ref.at,
                "INVALID_FIELD",
                f"Didn't understand relationship '{relationship}' in field path. If you are attempting to use a custom "
                f"relationship, be sure to append the '__r' after the custom relationship name. {_ADVICE}",
            )
        deeper = (*path, link.relationship)
        if deeper not in self.joins:
            joined = f"p{len(self.joins)}"
            self.joins[deeper] = (joined, parent)
            self.join_sql += f' LEFT JOIN "{parent.name}" {joined} ON {joined}."Id" = {alias}."{link.name}"'
        return (deeper, *self.joins[deeper])

    def _condition(self, condition: Condition) -> str:
        if isinstance(condition, Comparison):
            return self._comparison(condition)
        if isinstance(condition, Junction):
            return "(" + f" {condition.word} ".join(self._condition(part) for part in condition.parts) + ")"
        return f"NOT ifnull({self._condition(condition.inner)}, 0)"

    def _comparison(self, item: Comparison) -> str:
        if isinstance(item.operand, Aggregate):
            sql, kind = self._aggregate(item.operand)
            target = Field(name=item.operand.function, type=kind)
        else:
            place = self._place(item.operand)
            sql, target = place.sql, place.field
        if not target.filterable:
            raise self._invalid(item.operand, f"field '{target.name}' can not be filtered in a query call")
        self._check_operator(item, target)
        values = [bound_value(self.query.text, target, literal) for literal in item.literals]
        if item.op in {"IN", "NOT IN"}:
            return self._membership(sql, item.op, values)
        value = values[0]
        if value is None:
            if item.op not in {"=", "!="}:
                raise malformed(self.query.text, item.literals[0].at, f"null can not be compared by {item.op}")
            return f"{sql} IS {'NOT ' if item.op == '!=' else ''}NULL"
        self.params.append(value)
        if item.op == "LIKE":
            return f"{sql} LIKE ? ESCAPE '\\'"
        return f"{sql} {'IS NOT' if item.op == '!=' else item.op} ?"

    def _membership(self, sql: str, op: str, values: list[Any]) -> str:
        known = [value for value in values if value is not None]
        self.params += known
        marks = ",".join("?" * len(known))
        if op == "IN":
            return f"({sql} IN ({marks}){f' OR {sql} IS NULL' if len(known) < len(values) else ''})"
        if len(known) < len(values):
            return f"({sql} IS NOT NULL AND {sql} NOT IN ({marks}))"
        return f"({sql} IS NULL OR {sql} NOT IN ({marks}))"

    def _check_operator(self, item: Comparison, target: Field) -> None:
        if item.op == "LIKE" and target.type not in TEXTUAL:
            raise self._located(
                item.operand, "INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {target.type} field"
            )
        if target.type == "boolean" and item.op not in {"=", "!="}:
            raise self._located(item.operand, "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on boolean field")

    def _ordering(self, item: Ordering) -> str:
        if isinstance(item.operand, Aggregate):
            sql, nullable = self._aggregate(item.operand)[0], True
        else:
            place = self._place(item.operand)
            if not place.field.filterable:
                raise malformed(
                    self.query.text, item.operand.at, f"field '{item.operand.path}' can not be sorted in a query call"
                )
            sql, nullable = place.sql, place.nullable
        direction = " DESC" if item.descending else ""
        return sql + direction + (f" NULLS {'FIRST' if item.nulls_first else 'LAST'}" if nullable else "")

    def _invalid(self, operand: Operand, message: str) -> ApiError:
        return self._located(operand, "INVALID_FIELD", message)

    def _located(self, operand: Operand, code: str, message: str) -> ApiError:
        return located(self.query.text, operand.at, code, message)
