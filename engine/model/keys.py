"""Destination keys: made of ids and cleaned names, never taken from a URL.

A file name stays as it is, byte for byte (no change of case or Unicode form), except that

* control characters, ``/``, ``\\``, lone surrogates and what XML cannot hold become ``_``;
* blanks around it and dots behind it go;
* it is cut to 200 bytes, its extension kept;
* where key or link would be longer than S3 or the URL field allows, it is cut further and marked with its hash.

Two records never share a key: a template must hold ``{record_id}``, and ids in their 18-character form differ even
where case is ignored.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from urllib.parse import unquote

from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.percent import quoted
from engine.model.record import Record

MAX_KEY_BYTES = 1024
"""Amazon S3 User Guide, "Naming Amazon S3 objects"."""
MAX_NAME_BYTES = 200
NO_ACCOUNT = "no-account"

_ETAG_SLOT = "~{etag8}"
_ETAG_ROOM = len("~01234567")
_ILLEGAL = r"\x00-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff\ufffe\uffff"
_UNFIT = re.compile(f"[{_ILLEGAL}/]")
_UNFIT_IN_PATH = re.compile(f"[{_ILLEGAL}]")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_HEX_ETAG = re.compile(r"[0-9a-fA-F]{8,}(?:-[0-9]+)?")
_MAX_EXTENSION = 10


def file_name_of(location: Location, record_name: str) -> str:
    """What the copy is called: the last segment of the source's path, else the record's name, else ``file``."""
    return _file_name(_source_path(location).rpartition("/")[2]) or _file_name(record_name) or "file"


def split_name(file_name: str) -> tuple[str, str]:
    """Stem and extension, the latter with its dot or empty.

    An extension has up to ten ASCII letters and digits, at least one letter among them, and a name before its dot:
    ``report.27 (draft)``, ``scan.2024`` and ``.pdf`` have none.
    """
    stem, _, tail = file_name.rpartition(".")
    if not stem or stem[-1] == "." or not 0 < len(tail) <= _MAX_EXTENSION:
        return file_name, ""
    fit = tail.isascii() and tail.isalnum() and not tail.isdigit()
    return (stem, f".{tail}") if fit else (file_name, "")


def extension_of(file_name: str) -> str:
    """The extension in lower case with its dot, or ``""``."""
    return split_name(file_name.rstrip(" ."))[1].lower()


def destination_key(template: str, record: Record, file_name: str, location: Location) -> str:
    """The key of a record's copy.

    Only ``{source_key}`` may bring a ``/`` along. The result has no ``.``, ``..`` or empty segments and no control
    characters. Within 1,024 bytes it leaves room for the mark of changed content: the file name of a longer one is
    cut, see ``shortened_key``. Raises Refused ``bad_key`` where that is not enough.
    """
    key = _render(template, record, file_name, location)
    if not _has_room(key):
        key = shortened_key(template, record, file_name, location, lambda _key: True)
        if not _has_room(key):
            raise Refused(FailureClass.BAD_KEY, "the destination key would be longer than S3 allows (1,024 bytes)")
    if not key:
        raise Refused(FailureClass.BAD_KEY, "the destination key would be empty")
    return key


def shortened_key(
    template: str, record: Record, file_name: str, location: Location, fitting: Callable[[str], bool]
) -> str:
    """The key with as much of the file name as S3 and ``fitting`` allow. Too long, with none of it, where that is not
    enough. A hash of the name tells it from others that begin alike.
    """
    name = _flat(file_name)
    stem, extension = split_name(name)
    return _longest(
        stem,
        lambda start: _render(template, record, f"{start}{_mark(name)}{extension}", location),
        lambda key: _has_room(key) and fitting(key),
    )


def changed_template(key: str, room: int = _ETAG_ROOM) -> str:
    """The key for changed content of the same record, with ``{etag8}`` where ``fill_changed`` puts the content's mark.

    ``room``: by how many characters the link to ``key`` may grow; a long name is shortened. Raises Refused ``bad_key``,
    ``url_too_long`` where the mark still does not fit.
    """
    folder, slash, name = key.rpartition("/")
    stem, extension = split_name(name)
    excess = _bytes(key) + _ETAG_ROOM - MAX_KEY_BYTES
    if excess > 0:
        if excess >= _bytes(stem):
            raise Refused(FailureClass.BAD_KEY, "the destination key leaves no room for the mark of changed content")
        stem = _cut(stem, _bytes(stem) - excess)
    if room >= _ETAG_ROOM:
        return f"{folder}{slash}{stem}{_ETAG_SLOT}{extension}"
    most = len(quoted(key)) + room - _ETAG_ROOM + len(quoted(_ETAG_SLOT))

    def fine(template: str) -> bool:
        return len(quoted(template)) <= most

    template = _longest(stem, lambda start: f"{folder}{slash}{start}{_mark(name)}{_ETAG_SLOT}{extension}", fine)
    if not fine(template):
        raise Refused(FailureClass.URL_TOO_LONG, "the field has no room for the mark of changed content in the link")
    return template


def fill_changed(template: str, etag: str) -> str:
    """A template of ``changed_template`` filled for the content with this ETag (without quotes)."""
    head, _, tail = template.rpartition(_ETAG_SLOT)
    mark = etag if _HEX_ETAG.fullmatch(etag) else sha256(etag.encode("utf-8", "replace")).hexdigest()
    return f"{head}~{mark[:8].lower()}{tail}"


def holds(our_key: str, key: str, room: int) -> bool:
    """Whether ``our_key``, which we have written, is ``key`` itself, or ``key`` with the mark of changed content."""
    return our_key == key or any(_filled(our_key, key, each) for each in (_ETAG_ROOM, room))


def _filled(our_key: str, key: str, room: int) -> bool:
    try:
        head, _, tail = changed_template(key, room).rpartition(_ETAG_SLOT)
    except Refused:
        return False
    return our_key.startswith(f"{head}~") and our_key.endswith(tail)


@dataclass(frozen=True, slots=True)
class LinkTemplate:
    """What our links look like: ``template`` holds ``{key}``, and perhaps ``{bucket}`` and ``{region}``."""

    template: str
    bucket: str
    region: str

    def url(self, key: str) -> str:
        """The link to a copy: the key percent-encoded once, byte for byte as S3 has it."""
        return _placed(self.template, self.bucket, self.region).replace("{key}", quoted(key))

    def key(self, url: str) -> str | None:
        """The key that makes this link; None: none does."""
        before, _, after = _placed(self.template, self.bucket, self.region).partition("{key}")
        if len(url) <= len(before) + len(after) or not (url.startswith(before) and url.endswith(after)):
            return None
        key = unquote(url[len(before) : len(url) - len(after)], errors="surrogateescape")
        return key if self.url(key) == url else None

    @property
    def prefix(self) -> str:
        """What every link begins with, if that includes a whole host; else nothing."""
        prefix = _placed(self.template, self.bucket, self.region).partition("{key}")[0]
        return prefix if "/" in prefix.partition("://")[2] else ""


@lru_cache(maxsize=64)
def _placed(template: str, bucket: str, region: str) -> str:
    """The template of a link with all but its ``{key}`` filled in."""
    return template.replace("{bucket}", bucket).replace("{region}", region)


def units(text: str) -> int:
    """The length of a text as Salesforce counts it: in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _file_name(raw: str) -> str:
    name = _flat(raw).rstrip(" .")
    if _bytes(name) <= MAX_NAME_BYTES:
        return name
    stem, extension = split_name(name)
    return _cut(stem, MAX_NAME_BYTES - len(extension)).rstrip(" .") + extension


def _mark(name: str) -> str:
    """A hash that tells a shortened name from others."""
    return f"~{sha256(name.encode()).hexdigest()[:8]}"


def _has_room(key: str) -> bool:
    return _bytes(key) + _ETAG_ROOM <= MAX_KEY_BYTES


def _longest(stem: str, made: Callable[[str], str], fine: Callable[[str], bool]) -> str:
    """``made`` of the longest start of the stem, shorter than the stem, that is ``fine``; of nothing, if none is."""
    kept = bisect_left(range(len(stem)), True, key=lambda size: not fine(made(stem[:size])))
    return made(stem[: max(0, kept - 1)])


def _render(template: str, record: Record, file_name: str, location: Location) -> str:
    key = "".join([text + _VALUES[name](record, file_name, location) for text, name in _parts(template)])
    if "//" in key or "/." in key or key[:1] in ("/", ".", "") or key[-1:] == "/":
        return "/".join(segment for segment in key.split("/") if segment not in ("", ".", ".."))
    return key


@lru_cache(maxsize=64)
def _parts(template: str) -> tuple[tuple[str, str], ...]:
    """Literal texts, each with the placeholder behind it; the last placeholder may be empty."""
    texts = _PLACEHOLDER.split(template)
    return tuple(zip(texts[::2], [*texts[1::2], ""], strict=True))


def _flat(value: str) -> str:
    if value.isprintable() and "/" not in value and "\\" not in value:  # several times faster than looking for each
        return value.strip()
    return _UNFIT.sub("_", value).strip()


_VALUES: dict[str, Callable[[Record, str, Location], str]] = {
    "": lambda record, file_name, location: "",
    "account_id": lambda record, file_name, location: _flat(record.account_id) or NO_ACCOUNT,
    "account_name": lambda record, file_name, location: _flat(record.account_name) or NO_ACCOUNT,
    "record_id": lambda record, file_name, location: _flat(record.id),
    "record_name": lambda record, file_name, location: _flat(record.name),
    "file_name": lambda record, file_name, location: _flat(file_name) or "file",
    "stem": lambda record, file_name, location: split_name(_flat(file_name))[0] or "file",
    "ext": lambda record, file_name, location: split_name(_flat(file_name))[1],
    "source_key": lambda record, file_name, location: _UNFIT_IN_PATH.sub("_", _source_path(location)),
    "bucket": lambda record, file_name, location: location.bucket or location.origin.host.replace(":", "-"),
}


def _source_path(location: Location) -> str:
    return location.key or unquote(location.shown[len(str(location.origin)) :])


def _cut(text: str, size: int) -> str:
    """The longest start of the text within that many bytes of UTF-8, never half a character."""
    return text.encode()[:size].decode(errors="ignore")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
