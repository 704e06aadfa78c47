"""What a sweep searches for, and how that is found and shown in a text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from engine.model.errors import Refused, Usage
from engine.model.hosts import origin_of
from engine.model.text import bare_urls, printable
from engine.salesforce.search import finder
from engine.settings import Settings


class Vendor:
    """Finds the terms in texts."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._finder = finder(terms)

    def is_in(self, text: str) -> bool:
        return self._finder.search(text) is not None

    def examples(self, rows: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Record Ids, and the part of each text that points at the vendor, without queries."""
        return tuple((record, self._around(text)) for record, text in rows)

    def _around(self, text: str) -> str:
        found = self._finder.search(text)
        start = max(0, (found.start() if found else 0) - 20)
        return shown(("…" if start else "") + text[start : start + 160])


def shown(text: str) -> str:
    """On one line, without queries, cut short."""
    return printable(bare_urls(text))[:160]


def terms_of(settings: Settings, more: Sequence[str] = ()) -> list[str]:
    """The texts by which a link to the vendor is known: buckets, as hosts, in paths and as ``s3://``; and hosts."""
    source, ours = settings.source, settings.destination.bucket
    terms: list[str] = []
    for bucket in source.buckets:
        # if our bucket's name ends in this one, the bare name would find our own links
        host = f"//{bucket}." if ours.endswith(bucket) and ours != bucket else f"{bucket}."
        if source.endpoint_url:
            place = _place(source.endpoint_url)
            terms += [f"{host}{place}", f"{place}/{bucket}/"]
        # also with an endpoint: links may name AWS where the settings name a gateway to it
        terms += [f"{host}s3", f"amazonaws.com/{bucket}/", f"amazonaws.com.cn/{bucket}/", f"s3://{bucket}/"]
    for entry in (*source.allowed_hosts, *map(_host, more)):
        terms.append(f"//{entry.rpartition('//')[2].rstrip('/')}")
    if source.resolver is not None:
        terms.append(f"//{_place(source.resolver.url)}")
    return list(dict.fromkeys(term.lower() for term in terms))


def _place(url: str) -> str:
    """Host and port of a URL as links write them: without the default port."""
    parts = urlsplit(url)
    try:
        return str(origin_of(parts.scheme, parts.netloc)).partition("://")[2]
    except Refused:
        return parts.netloc


def _host(entry: str) -> str:
    """The host of ``--host``. Raises Usage if it is not one: to find it nowhere would look like an all-clear."""
    scheme, _, rest = entry.strip().lower().rpartition("://")
    try:
        if scheme in {"", "http", "https"}:
            return str(origin_of(scheme or "https", rest.removesuffix("/")))
    except Refused:
        pass
    raise Usage(
        f"--host {printable(entry)!r} is no host",
        hint="give a name alone, such as files.vendor.example, or with its port: files.vendor.example:8443",
    )
