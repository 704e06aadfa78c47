"""The JSON answers, as the code has them: ``python docs/json_answers.py`` writes ``docs/json.md`` and the JSON Schemas
under ``docs/schemas/``. A test holds them against the code."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the documents are about this tree, wherever the script is started

from engine.model.answers import ANSWERS, WORDS  # noqa: E402
from engine.model.answers.shared import Answered, Failure  # noqa: E402

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OLD = "Old name of "
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
Schema = dict[str, Any]

HEAD = """# JSON answers

Written by `python docs/json_answers.py` from the code. Do not edit it by hand: a test compares it.

Every command that reports takes `--json`. It then prints one document on stdout; messages go to stderr. A command that
is refused, or cannot be read, prints a document too. Only an answer that stdout does not take is missing.

The JSON Schemas (draft 2020-12) lie under `docs/schemas/`, one for each command. They belong to the version of the
engine that they come with: they name every key, while a later version may add some. So let your scripts ignore keys
that they do not know.

## Names

* A thing has the same name everywhere: `record_id`, `run_id`, `account_id`, `org_id`. Ids have 18 characters.
* No key is a number in one answer and a list in another. Where one was, the number now ends in `_count`, or the list in
  `_ids`. (`by_rows` of `engine analyze` only repeats the names of the lists that it counts.)
* `would_…` is what a dry run would do. Only dry runs have such keys.
* Times are UTC, as `2026-11-22T10:00:00.000Z`. Sizes are bytes. `_ms` and `_mb` say milliseconds and millions of bytes.
* `null` means that nobody knows, or that there is none; the table says which.
* An old name stays beside the new one for this version. Read the new one.

"""


def described() -> dict[str, tuple[list[str], str, dict[str, str]]]:
    """Each class of the answers: its bases, what it is, and what its own keys mean."""
    found = {}
    for path in sorted((ROOT / "engine/model/answers").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                keys: dict[str, str] = {}
                for each in node.body:
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                        keys[each.target.id] = ""
                    elif isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and keys:
                        keys[list(keys)[-1]] = " ".join(str(each.value.value).split())
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                found[node.name] = (bases, " ".join((ast.get_docstring(node) or "").split()), keys)
    return found


DESCRIBED = described()


def meanings(name: str) -> dict[str, str]:
    """What each key of a class means, those of its bases included."""
    bases, _, keys = DESCRIBED.get(name, ([], "", {}))
    return {key: text for base in bases for key, text in meanings(base).items()} | keys


def schema_of(kind: Any, parts: dict[str, Schema]) -> Schema:
    """The schema of a type; classes go into ``parts``."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if origin is Literal:
        return {"const": inner[0]}
    if origin is UnionType:
        return {"anyOf": [schema_of(each, parts) for each in inner]}
    if origin is list:
        return {"type": "array", "items": schema_of(inner[0], parts)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(inner[1], parts)}
    assert is_typeddict(kind), kind
    if kind.__name__ not in parts:
        parts[kind.__name__] = {}
        parts[kind.__name__] = object_of(kind, parts)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def object_of(kind: type, parts: dict[str, Schema]) -> Schema:
    """The schema of a class: every key is known."""
    properties, required, said = {}, [], meanings(kind.__name__)
    for key, hint in get_type_hints(kind, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        schema = schema_of(get_args(hint)[0] if optional else hint, parts)
        if text := said[key] or ("" if list(parts_in(schema)) else WORDS.get(key, "")):
            schema["description"] = text
        if text.startswith(OLD):
            schema["deprecated"] = True
        properties[key] = schema
        if not optional and kind.__total__:  # type: ignore[attr-defined]
            required.append(key)
    return {
        "type": "object",
        "description": DESCRIBED[kind.__name__][1],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def whole(kind: type, parts: dict[str, Schema]) -> Schema:
    """A whole answer: a class with the keys that all answers have around its own."""
    always, own = object_of(Answered, parts), object_of(kind, parts)
    first = {"schema": always["properties"]["schema"]}
    properties = first | own["properties"] | always["properties"]
    required = [key for key in properties if key in {*own["required"], *always["required"]}]
    return own | {"properties": properties, "required": required}


def schema_file(command: str) -> Schema:
    """All that a command may answer."""
    parts: dict[str, Schema] = {}
    answers = {kind.__name__: whole(kind, parts) for kind in ANSWERS[command]}
    parts |= answers | {"Failure": object_of(Failure, parts)}
    return {
        "$schema": DIALECT,
        "title": f"engine {command} --json",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in [*answers, "Failure"]],
        "$defs": dict(sorted(parts.items())),
    }


def called(schema: Schema) -> str:
    """A type for a reader."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if name in SHARED else "object"
    if "anyOf" in schema:
        return " or ".join(map(called, schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {called(schema['items'])}s".replace(")s", ")").replace("list of lists", "list of list")
    if schema.get("type") == "object":
        inner = schema["additionalProperties"]
        return f"object: for each name {_a(called(inner))}" if inner else "object"
    return "`null`" if schema.get("type") == "null" else str(schema.get("type", "any value"))


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def parts_in(schema: Schema) -> Iterator[tuple[str, str]]:
    """Where classes stand in a key, as an ending of its path, and which they are."""
    if "$ref" in schema:
        yield "", schema["$ref"].rpartition("/")[2]
    for each in schema.get("anyOf", []):
        yield from parts_in(each)
    if schema.get("type") == "array":
        yield from ((f"[]{path}", name) for path, name in parts_in(schema["items"]))
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        yield from ((f".*{path}", name) for path, name in parts_in(schema["additionalProperties"]))


def rows(
    schema: Schema, parts: dict[str, Schema], path: str = "", leave: frozenset[str] = frozenset()
) -> Iterator[str]:
    """A line for each key; classes that stand in one place only are told where they stand."""
    for key, each in schema["properties"].items():
        if key in leave and not path:
            continue
        absent = "" if key in schema["required"] else " May be absent."
        found = list(parts_in(each))
        inner = [(ending, name) for ending, name in found if name not in SHARED]
        text = each.get("description") or " ".join(parts[name]["description"] for _, name in found)
        yield f"| `{path}{key}` | {called(each)} | {text}{absent} |"
        for ending, name in inner:
            if not text.startswith(OLD):
                yield from rows(parts[name], parts, f"{path}{key}{ending}.")


def table(schema: Schema, parts: dict[str, Schema], leave: frozenset[str] = frozenset()) -> str:
    return "| key | type | meaning |\n|---|---|---|\n" + "\n".join(rows(schema, parts, leave=leave)) + "\n"


FILES = {command: schema_file(command) for command in ANSWERS}


def shared() -> dict[str, Schema]:
    """Classes that stand in several places: they have a table of their own."""
    whole_answers = {kind.__name__ for kinds in ANSWERS.values() for kind in kinds} | {"Failure"}
    places: Counter[str] = Counter()
    parts: dict[str, Schema] = {}
    users: dict[str, set[str]] = {}
    for file in FILES.values():
        for name, part in file["$defs"].items():
            for key, each in part["properties"].items():
                for _, inner in parts_in(each):
                    users.setdefault(inner, set()).add(f"{name}.{key}")
            if name not in whole_answers:
                parts[name] = part
    places.update({name: len(found) for name, found in users.items()})
    return {name: part for name, part in sorted(parts.items()) if places[name] > 1}


SHARED: dict[str, Schema] = {}
SHARED |= shared()


def page() -> str:
    """``docs/json.md``."""
    always = frozenset(Answered.__annotations__)
    parts: dict[str, Schema] = {}
    text = HEAD + "## Every answer\n\n" + table(object_of(Answered, parts), parts)
    text += "\n## Failures\n\n" + DESCRIBED["Failure"][1] + "\n\n" + table(object_of(Failure, parts), parts)
    told: dict[tuple[type, ...], str] = {}
    for command, kinds in ANSWERS.items():
        text += f"\n## `engine {command}`\n\nSchema: [{file_name(command)}](schemas/{file_name(command)})\n"
        if (other := told.setdefault(kinds, command)) != command:
            text += f"\nIts keys are those of [`engine {other}`](#engine-{other.replace(' ', '-')}).\n"
            continue
        for kind in kinds:
            definitions = FILES[command]["$defs"]
            answer = definitions[kind.__name__]
            text += f"\n{answer['description']}\n\n" + table(answer, definitions, always)
    text += "\n## Shared parts\n"
    for name, part in SHARED.items():
        text += f"\n### {name}\n\n{part['description']}\n\n" + table(part, SHARED)
    return text


def file_name(command: str) -> str:
    return f"{command.replace(' ', '-')}.json"


def written() -> dict[Path, str]:
    """What each file holds."""
    schemas = {
        ROOT / "docs/schemas" / file_name(command): json.dumps(schema, indent=2) + "\n"
        for command, schema in FILES.items()
    }
    return {ROOT / "docs/json.md": page(), **schemas}


if __name__ == "__main__":
    (ROOT / "docs/schemas").mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
