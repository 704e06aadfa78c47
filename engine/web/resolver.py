"""Asks a vendor's API for a link, record by record: a URL template, a JSON answer, a Location made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from engine.limiting.backoff import retry_after_s
from engine.limiting.clock import Clock
from engine.model.byte_units import MIB
from engine.model.errors import Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.hosts import origin_of
from engine.model.location import Location, Origin
from engine.model.record import Record
from engine.model.text import json_in
from engine.model.urls import identity_hash
from engine.settings import ResolverSettings
from engine.web.client import WebClient
from engine.web.faults import NETWORK_ERRORS, from_network

_PLACE = re.compile(r"\{([^{}]*)\}")
_LONGEST_ANSWER = MIB


class LinkResolver:
    """Gets a fresh link for a record. ``parse`` makes the answer a Location, and so applies the allow list."""

    def __init__(
        self, settings: ResolverSettings, client: WebClient, parse: Callable[[str], Location], clock: Clock
    ) -> None:
        resolver_origin(settings)
        self._template = settings.url
        self._pointer = settings.json_pointer
        self._client = client
        self._parse = parse
        self._clock = clock
        token = settings.token.get_secret_value().strip() if settings.token else ""
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    async def resolve(self, record: Record) -> Location:
        """Where the file lies now. Raises Transient, or Refused: ``resolver_failed``, or what ``parse`` says."""
        url = self._url(record)
        async with self._client.request("GET", url, self._headers, hops=0) as response:
            host = response.url.raw_host or "the resolver"
            if response.status != 200:
                raise self._failure(response.status, response.headers, host)
            try:
                body = bytearray()
                while chunk := await response.content.readany():
                    body += chunk
                    if len(body) > _LONGEST_ANSWER:
                        raise _failed(f"{host} answered with more than 1 MiB")
            except NETWORK_ERRORS as error:
                raise from_network(error, host=host) from None
        return self._parse(link_in(bytes(body), self._pointer))

    def source_id(self, record: Record) -> int:
        """A number for what the API is asked, like ``identity_hash`` for a URL. Raises Refused."""
        return identity_hash(f"by link: {self._url(record)}")

    def _url(self, record: Record) -> str:
        return filled(self._template, dict(record.extra) | {"Id": record.id})

    def _failure(self, status: int, headers: Mapping[str, str], host: str) -> Transient | Refused:
        said = f"the resolver {host} answered {status}"
        if status in {429, 503}:
            pause_s = retry_after_s(headers.get("Retry-After", ""), self._clock.now())
            return Transient(FailureClass.THROTTLED, said, retry_after_s=pause_s)
        if status == 408 or status >= 500:
            return Transient(FailureClass.RESOLVER_FAILED, said)
        if status == 407:
            return _failed(f"{said}: a proxy wants a login; check network.proxy")
        if status in {401, 403}:
            return _failed(f"{said}: check source.resolver.token")
        return _failed(said + (": it knows no such file" if status in {404, 410} else ""))


def resolver_origin(settings: ResolverSettings) -> Origin:
    """The origin of the resolver. Raises Usage where a field of a record could change it."""
    parts = urlsplit(settings.url)
    if "{" in parts.netloc or "{" in parts.scheme:
        raise Usage("source.resolver.url has a {Field} in its host; only path and query may hold fields")
    try:
        return origin_of(parts.scheme, parts.netloc)
    except Refused as error:
        raise Usage(f"source.resolver.url: {error}") from None


def fields_of(template: str) -> tuple[str, ...]:
    """The fields that a template needs, each once, in order. ``{Id}`` is always known."""
    return tuple(dict.fromkeys(name for name in _PLACE.findall(template) if name != "Id"))


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its fields filled in, percent-encoded: no value can add a path segment or a query.

    Raises Refused for an empty value, and for dots that a server would take for a path segment.
    """

    def value(match: re.Match[str]) -> str:
        text = values.get(match[1], "").strip()
        if not text:
            raise _failed(f"the record has no value in {match[1]}, which source.resolver.url asks for")
        if text in {".", ".."}:
            raise _failed(f"the record's {match[1]} is no usable value")
        try:
            return quote(text, safe="")
        except UnicodeEncodeError:
            raise _failed(f"the record's {match[1]} holds half a character") from None

    return _PLACE.sub(value, template)


def link_in(body: bytes, pointer: str) -> str:
    """The text at a JSON pointer (RFC 6901). Raises Refused when the answer is no JSON, or has no text there."""
    try:
        answer = json_in(body)
    except ValueError:
        page = body.lstrip()[:1] == b"<"
        raise _failed("the resolver answered with " + ("a web page" if page else "something that is no JSON")) from None
    found = at(answer, pointer)
    if not isinstance(found, str) or not found.strip():
        raise _failed(f"the resolver's answer has no link at {pointer or 'its root'}")
    return found


def at(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer; None where it leads nowhere."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", name) and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _failed(message: str) -> Refused:
    return Refused(FailureClass.RESOLVER_FAILED, message)
