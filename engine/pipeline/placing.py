"""Under which key a copy lies, and what its link looks like. Decided without I/O."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.keys import LinkTemplate, destination_key, shortened_key, units
from engine.model.location import Location
from engine.model.record import Record
from engine.model.urls import parse_url, source_rules


@dataclass(frozen=True, slots=True)
class Target:
    """Where copies go and what their links look like."""

    bucket: str
    region: str
    endpoint_url: str | None
    key_template: str
    url_template: str
    url_length: int
    """Longest value that the URL field takes, in UTF-16 units."""


class Placing:
    """Gives keys and links to copies."""

    def __init__(self, target: Target) -> None:
        """Raises Usage when the target's endpoint is no URL."""
        self._target = target
        self._links = LinkTemplate(target.url_template, target.bucket, target.region)
        self._ours = source_rules([target.bucket], target.endpoint_url, target.region, [])
        self._our_prefix = self._links.prefix

    def place(self, record: Record, file_name: str, source: Location) -> tuple[str, str]:
        """Key and link of a copy. A file name that makes the link longer than the field is shortened. Raises Refused
        ``bad_key``."""
        template = self._target.key_template
        key = destination_key(template, record, file_name, source)
        url = self.url_of(key)
        if self.fits(url):
            return key, url
        key = shortened_key(template, record, file_name, source, lambda short: self.fits(self.url_of(short)))
        return key, self.url_of(key)

    def url_of(self, key: str) -> str:
        """The link to a copy under that key."""
        return self._links.url(key)

    def fits(self, url: str) -> bool:
        """Whether the URL field takes the link."""
        return self.room(url) >= 0

    def room(self, url: str) -> int:
        """By how many characters the link may grow; below 0: the field does not take it."""
        return self._target.url_length - units(url)

    def too_long(self, url: str) -> Refused:
        """The field does not take the link."""
        return Refused(
            FailureClass.URL_TOO_LONG,
            f"the new link has {len(url):,} characters, the field takes {self._target.url_length:,};"
            " a shorter destination.key_template may help",
        )

    def is_ours(self, link: str) -> bool:
        """Whether a link points into the destination bucket already."""
        if self._our_prefix and link.startswith(self._our_prefix):
            return True
        try:
            parse_url(link, self._ours)
        except Refused:
            return False
        return True
