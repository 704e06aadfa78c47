"""The small XML answers of S3, read strictly: bounded, no DTD, no entities but the five of XML itself."""

from __future__ import annotations

from functools import lru_cache
from xml.parsers import expat

from engine.limiting.backoff import retry_after_s
from engine.model.byte_units import KIB, MIB
from engine.s3.api.answers import StoreError

MAX_BYTES = MIB
_USUAL_BYTES = 16 * KIB
_CODE, _MESSAGE = 100, 2_000
"""Characters of an error that are kept."""


def flat(body: bytes) -> tuple[str, dict[str, str]]:
    """The root element's name and the text of its children, by name without namespace.

    White space may come first: S3 sends it to keep the connection of a long copy open. Raises StoreError ``BadAnswer``.
    """
    root, found, _ = _read(body, "")
    return root, found


def rows_of(body: bytes, root: str, row: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The same for a document whose root must be ``root``; and for each element named ``row`` in it, the text of its
    children by name. Raises StoreError ``BadAnswer``."""
    name, found, rows = _read(body, row)
    if name != root:
        raise StoreError("BadAnswer", 0, f"the answer is no {root}")
    return found, rows


def _read(body: bytes, row: str) -> tuple[str, dict[str, str], list[dict[str, str]]]:
    body = body.lstrip()
    if not body:
        raise StoreError("BadAnswer", 0, "the answer's body is empty")
    if len(body) > MAX_BYTES:
        raise StoreError("BadAnswer", 0, "the answer's body is too large")
    path: list[str] = []
    found: dict[str, list[str]] = {}
    rows: list[dict[str, list[str]]] = []
    root: list[str] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        path.append(name)
        if len(path) == 1:
            root.append(name)
            return
        if len(path) == 2:
            found[name] = []
        if name == row:
            rows.append({})
        elif rows and path[-2] == row:
            rows[-1][name] = []

    def end(_name: str) -> None:
        path.pop()

    def characters(data: str) -> None:
        if len(path) == 2:
            found[path[1]].append(data)
        elif rows and len(path) > 2 and path[-2] == row:
            rows[-1].setdefault(path[-1], []).append(data)

    def refuse(*_: object) -> None:
        raise StoreError("BadAnswer", 0, "the answer declares a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        raise StoreError("BadAnswer", 0, "the answer is not well-formed XML") from None
    return root[0], _joined(found), [_joined(each) for each in rows]


def _joined(found: dict[str, list[str]]) -> dict[str, str]:
    return {name: "".join(pieces) for name, pieces in found.items()}


def error_of(status: int, fields: dict[str, str], body: bytes) -> StoreError:
    """The StoreError of an answer of status 300 or more, or of a 200 with an error in its body."""
    told: dict[str, str] = {}
    if body.strip():
        try:
            root, told = flat(body)
        except StoreError:
            root = ""
        if root != "Error":
            told = {}
    return StoreError(
        told.get("Code", "")[:_CODE] or str(status),
        status,
        told.get("Message", "")[:_MESSAGE],
        retry_after_s=retry_after_s(fields.get("retry-after", "")),
        region=(fields.get("x-amz-bucket-region", "") or told.get("Region", ""))[:_CODE],
    )


def success_of(
    status: int, fields: dict[str, str], body: bytes, *, root: str, keep: tuple[str, ...] = ()
) -> dict[str, str]:
    """Headers and body of a 200, whose root must be ``root``, merged: ``ETag`` and ``Checksum…`` under their header
    names, those of ``keep`` under their own.

    Raises StoreError for an empty body, another document, or an ``Error`` that came with status 200.
    """
    name, told = _plain(body, root) or flat(body)
    if name == "Error":
        error = error_of(500, fields, body)
        raise StoreError(error.code, 500, error.message)
    if name != root:
        raise StoreError("BadAnswer", status, f"the answer is no {root}")
    return {**fields, **as_fields(told), **{each: told[each] for each in keep if each in told}}


def _plain(body: bytes, root: str) -> tuple[str, dict[str, str]] | None:
    """The same as ``flat`` at a tenth of the cost, for the usual answer: one prologue, one root, leaves with no entity
    but quotes. None for everything else, which the real parser then reads."""
    if len(body) > _USUAL_BYTES:
        return None
    tokens = body.replace(b"<", b">").split(b">")  # texts and tags by turns
    shape = _shape_of(tuple(tokens[1::2]), root)
    if shape is None:
        return None
    blanks, leaves = shape
    for at in blanks:
        if tokens[at].strip():
            return None
    told = {}
    for name, at in leaves:
        text = tokens[at].replace(b"&quot;", b'"')
        if b"&" in text or not text.isascii():
            return None
        told[name] = text.decode()
    return root, told


@lru_cache(maxsize=64)
def _shape_of(tags: tuple[bytes, ...], root: str) -> tuple[list[int], list[tuple[str, int]]] | None:
    """Where a document with these tags must be blank, and which text belongs to which leaf. None: not the usual shape.

    Cached, because a store sends the same tags with each answer.
    """
    first = 1 if tags and tags[0].startswith(b"?xml ") and tags[0].endswith(b"?") else 0
    name = root.encode()
    inner = tags[first + 1 : -1]
    names, ends = inner[::2], inner[1::2]
    if (
        len(tags) < first + 2
        or tags[first].partition(b" ")[0] != name
        or tags[first].endswith(b"/")
        or tags[-1].rstrip() != b"/" + name
        or len(names) != len(ends)
        or any(not leaf.isalnum() or end.rstrip() != b"/" + leaf for leaf, end in zip(names, ends, strict=True))
    ):
        return None
    leaves = [(leaf.decode(), 2 * (first + 2 + 2 * number)) for number, leaf in enumerate(names)]
    taken = {at for _, at in leaves}
    return [at for at in range(0, 2 * len(tags) + 1, 2) if at not in taken], leaves


def as_fields(told: dict[str, str]) -> dict[str, str]:
    """``ETag`` and ``Checksum…`` elements under the names that headers have for them."""
    merged: dict[str, str] = {}
    if "ETag" in told:
        merged["etag"] = told["ETag"]
    if "LastModified" in told:
        merged["last-modified"] = told["LastModified"]
    for name, value in told.items():
        if name.startswith("Checksum") and value:
            merged["x-amz-checksum-" + name[len("Checksum") :].lower()] = value
    return merged
