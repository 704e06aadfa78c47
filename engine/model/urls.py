"""URL fields: one parser for every spelling of an S3 object, and for plain http(s) files.

What it decides, and why:

* The key is percent-decoded exactly once. ``+`` stays ``+``: in a path it is an ordinary character. Some writers
  meant a space by it: ``plus_as_space`` gives that second reading, for where the first is not found.
* A raw ``#`` ends the URL, a raw ``?`` ends the path, as in every browser and HTTP client: a click on the link gets the
  object named before them. Names with these characters have them as ``%23`` and ``%3F``.
* What clients read in different ways is refused: raw backslashes, and ``.`` or ``..`` segments (encoded or not).
* ``%`` without two hex digits behind it is the character itself.
* ``s3://bucket/key`` is taken literally, as AWS's own tools do: no decoding, no fragment; only ``?versionId=`` at the
  end is understood.
* All hosts of a configured bucket, over http or https, name the same objects. Plain GETs go over https, or to the
  configured endpoint.
* Of the query only ``versionId`` names another object. A presigned query stays whole; any other query of an S3 URL is
  dropped (S3 refuses anonymous ``response-*`` requests). Plain http(s) URLs keep theirs.
* Raw control characters are refused. Percent-encoded ones are characters of a name like any other.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import replace
from hashlib import blake2b
from typing import NoReturn, cast
from urllib.parse import quote, unquote, unquote_to_bytes

from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.hosts import Site, SourceRules, service_of, site_of, source_rules
from engine.model.location import Location, Origin

__all__ = ["SourceRules", "identity_hash", "parse_url", "plus_as_space", "source_rules"]

MAX_KEY_BYTES = 1024
"""Amazon S3 User Guide, "Naming Amazon S3 objects"."""

_BLANK = " \t\n\r\f\v"
_SHAPE = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?)://([^/?#]*)([^?#]*)(?:\?([^#]*))?")
"""Matches from the start; what follows the match is a fragment."""
_S3_SHAPE = re.compile(r"s3://([^/]*)(?:/(.*?))?(?:\?versionId=([^?&/#]*))?", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOT_SEGMENT = re.compile(r"(?:^|/)\.\.?(?:/|\Z)")
_LEGAL = "/?:@!$&'()*+,;=-._~%"
_ILLEGAL = re.compile(rf"[^A-Za-z0-9{re.escape(_LEGAL)}]")


def parse_url(text: str, rules: SourceRules) -> Location:
    """Where the file behind a URL field lies.

    Raises Refused and nothing else, whatever the text: ``no_url``, ``bad_url`` or ``host_not_allowed``. The messages
    never hold the path or the query.
    """
    text = _cleaned(text)
    match = _SHAPE.match(text)
    if match is None:
        return _from_s3_uri(text, rules)
    scheme, authority, path, query = match.groups()
    if "\\" in authority or "\\" in path:
        _bad("the URL holds a backslash, which clients read in different ways")
    site = site_of(scheme.lower(), authority, rules)
    if site.bucket:
        return _in_bucket(site, site.bucket, path[1:], query)
    if site.in_path:
        first, _, rest = path[1:].partition("/")
        bucket = _decoded(first)
        if bucket in rules.buckets:
            return _in_bucket(site, bucket, rest, query)
    if site.plain is None:
        raise Refused(FailureClass.HOST_NOT_ALLOWED, "the URL's bucket is not in source.buckets")
    return _plain(site.plain, path, query)


def plus_as_space(location: Location) -> Location | None:
    """The object if ``+`` means a space; None where the URL has no such ``+``.

    For S3 objects only, where the first reading is not found.
    """
    start, end = len(str(location.origin)), len(location.shown)
    path = location.url[start:end]
    if not location.in_s3 or location.presigned or "+" not in path:
        return None
    key = unquote(path[1:].replace("+", " "))
    if len(key) > len(location.key):  # path style
        key = key.removeprefix(f"{location.bucket}/")
    return replace(location, key=key, url=location.url[:start] + path.replace("+", "%20") + location.url[end:])


def identity_hash(identity: str) -> int:
    """A stable number of 63 bits, never negative, for ``Location.identity``."""
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _cleaned(text: str) -> str:
    text = text.strip(_BLANK)
    if not text:
        raise Refused(FailureClass.NO_URL, "the record has no URL")
    if not text.isprintable():  # fast; also false for harmless characters, so check further
        if _CONTROL.search(text):
            _bad("the URL holds control characters, such as a line break")
        if not _encodable(text):
            _bad("the URL holds half a character (a lone surrogate)")
    return text


def _in_bucket(site: Site, bucket: str, raw_key: str, query: str | None) -> Location:
    key = _checked_key(_decoded(raw_key))
    path = f"{site.base}/{_wire(raw_key)}" if site.bucket else f"{site.base}/{bucket}/{_wire(raw_key)}"
    reach = cast("Origin", site.reach)
    if not query:
        return Location(reach, path, bucket, key)
    fields = _query_fields(query)
    version = _version(fields)
    if not _is_presigned(fields):
        return Location(reach, path + _version_query(version), bucket, key, version)
    # The signature covers host and query: both stay as they are, where a GET may go there at all.
    if site.own is not None:
        reach, path = site.own, f"{site.own}{'' if site.bucket else f'/{bucket}'}/{_wire(raw_key)}"
    return Location(reach, f"{path}?{_wire(query)}", bucket, key, version, True, _expiry(fields))


def _plain(origin: Origin, path: str, query: str | None) -> Location:
    if path in ("", "/") and not query:
        _bad("the URL names a host but no file")
    if _DOT_SEGMENT.search(unquote(path)):
        _bad("the URL's path has a . or .. segment, which clients read in different ways")
    fields = _query_fields(query) if query else {}
    url = str(origin) + (_wire(path) or "/") + (f"?{_wire(query)}" if query else "")
    presigned = _is_presigned(fields)
    return Location(origin, url, presigned=presigned, expires_at=_expiry(fields) if presigned else None)


def _from_s3_uri(text: str, rules: SourceRules) -> Location:
    match = _S3_SHAPE.fullmatch(text)
    if match is None:
        _bad("the URL is not an http, https or s3 URL")
    bucket, key, version = match.groups()
    if bucket not in rules.buckets:
        raise Refused(FailureClass.HOST_NOT_ALLOWED, "the URL's bucket is not in source.buckets")
    key = _checked_key(key or "")
    service = service_of(rules)
    version = _version({"versionid": {unquote(version)}}) if version else None
    url = f"{service}/{bucket}/{quote(key, safe='/-_.~')}{_version_query(version)}"
    return Location(service, url, bucket, key, version)


def _decoded(raw: str) -> str:
    if "%" not in raw:
        return raw
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        _bad("the URL's path is not UTF-8 once its %XX are decoded")


def _checked_key(key: str) -> str:
    if not key:
        _bad("the URL names a bucket but no object")
    if key[-1] == "/":
        _bad("the URL names a folder, not a file")
    if len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES:
        _bad(f"the URL's object name is longer than {MAX_KEY_BYTES:,} bytes, which S3 does not allow")
    if ("/." in key or key[0] == ".") and _DOT_SEGMENT.search(key):
        _bad("the URL's path has a . or .. segment, which clients read in different ways")
    return key


def _wire(raw: str) -> str:
    """Encode only what is illegal in the path or query of a URL; ``%XX`` stays as it is."""
    if "%" in raw:
        raw = _LONE_PERCENT.sub("%25", raw)
    return raw if _ILLEGAL.search(raw) is None else quote(raw, safe=_LEGAL)


def _version_query(version: str | None) -> str:
    return f"?versionId={quote(version, safe='-_.~')}" if version else ""


def _query_fields(query: str) -> dict[str, set[str]]:
    """Decoded values by lower-case name."""
    fields: dict[str, set[str]] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        fields.setdefault(unquote(name).lower(), set()).add(unquote(value))
    return fields


def _version(fields: dict[str, set[str]]) -> str | None:
    versions = {value for value in fields.get("versionid", ()) if value}
    if len(versions) > 1:
        _bad("the URL names two versions of its object")
    version = next(iter(versions), None)
    if version is not None and not (version.isascii() and version.isprintable() and len(version) <= 1024):
        _bad("the URL's versionId is not one")
    return version


def _is_presigned(fields: dict[str, set[str]]) -> bool:
    return "x-amz-signature" in fields or ("signature" in fields and "expires" in fields)


def _expiry(fields: dict[str, set[str]]) -> float | None:
    """Version 4: X-Amz-Date plus X-Amz-Expires. Version 2 and CloudFront: Expires, in epoch seconds."""
    if "x-amz-signature" not in fields:
        return _seconds(fields.get("expires"))
    lifetime = _seconds(fields.get("x-amz-expires"))
    try:
        signed = time.strptime(next(iter(fields.get("x-amz-date", {""}))), "%Y%m%dT%H%M%SZ")
    except ValueError:
        return None
    return None if lifetime is None else calendar.timegm(signed) + lifetime


def _seconds(values: set[str] | None) -> float | None:
    value = next(iter(values or {""}))
    return float(value) if re.fullmatch(r"[0-9]{1,12}", value) else None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad(message: str) -> NoReturn:
    raise Refused(FailureClass.BAD_URL, message)
