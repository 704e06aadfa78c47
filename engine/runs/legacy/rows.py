"""A row of the scripts' DB, understood. Decided without I/O.

| the row says                                      | what follows                                              |
|---------------------------------------------------|-----------------------------------------------------------|
| an Id that is none, or bytes that are no text     | it cannot be taken over: counted, with an example         |
| no original link, or ours in its place            | the original is lost: ``no_url``, ``already_ours``        |
| an original that the settings do not let in       | ``bad_url``, ``host_not_allowed``                         |
| an original that the field of the links is too    | ``bad_url``: the record never held it. Only the beginning |
| short for, or a link that no field takes          | of it is kept                                             |
| a copy in another bucket, or under no key         | ``copy_missing``                                          |
| times without a zone                              | local times of ``--timezone``, DST included, made UTC     |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from engine.limiting.clock import iso
from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.ids import to18
from engine.model.keys import LinkTemplate
from engine.model.old_copy import Old, Unfit
from engine.model.text import readable
from engine.model.urls import SourceRules, identity_hash, parse_url, plus_as_space, source_rules

LONG_TEXT = 131_072
"""Characters of the longest text field of Salesforce."""
_KEY = 1_024
"""Bytes, and so characters, of the longest key of S3."""
_KEPT = 1_000
"""Characters that are kept of what is too long."""
LOST = "its original link is lost: the original scripts wrote ours over it"
NO_ORIGINAL = "the original scripts noted no original link"


@dataclass(frozen=True, slots=True)
class Reading:
    """What rows are read with."""

    rules: SourceRules
    """Of the sources."""
    template: LinkTemplate
    endpoint_url: str | None
    """Of our bucket; None: AWS."""
    zone: tzinfo | None
    """Of the times without one; None: this machine's."""
    longest: int = LONG_TEXT
    """Characters that the field of the links takes."""
    bucket_rules: SourceRules = field(init=False)
    """Of our bucket."""

    def __post_init__(self) -> None:
        found = source_rules([self.template.bucket], self.endpoint_url, self.template.region, [])
        object.__setattr__(self, "bucket_rules", found)

    def row(self, raw: Sequence[object]) -> Old | Unfit:
        """A row in the order of ``tracking/read/legacy.py``."""
        texts = [each if isinstance(each, str) else "" if each is None else str(each) for each in raw]
        try:
            record = to18(texts[0].strip())
        except ValueError:
            return Unfit("bad_id", readable(raw[0])[:40])
        if bytes in map(type, raw) or not _encodable("".join(texts)):
            return Unfit("bad_text", record)
        _, url, key, link, account, account_name, name, size, sha256, copied, modified, switched, updated = texts
        source_id, failure, why = self._too_long(url, link) or self._source(url, link)
        if not failure:
            failure, why = self._copy(key, link)
        return Old(
            id=record,
            account_id=_account(account),
            account_name=account_name[:_KEPT],
            url=_cut(url, self.longest),
            key=_cut(key, _KEY),
            link=_cut(link, LONG_TEXT),
            name=name[:_KEPT],
            size=int(size) if size.isascii() and size.isdecimal() else None,
            sha256=sha256.lower() if len(sha256) == 64 else "",
            copied_at=self.moment(copied),
            modified=self.moment(modified),
            switched=switched.strip() in {"1", "1.0", "True", "true"},
            updated=updated[:_KEPT],
            source_id=source_id,
            refused=failure,
            why=why,
        )

    def moment(self, text: str) -> str:
        """A time of the scripts as UTC ISO; empty where it is none."""
        try:
            at = datetime.fromisoformat(text.strip().replace("+0000", "+00:00"))
            if at.tzinfo is None:
                at = at.replace(tzinfo=self.zone) if self.zone is not None else at.astimezone()
            return iso(at.astimezone(UTC))
        except (ValueError, OverflowError, OSError):
            return ""

    def opens(self, link: str, key: str) -> bool:
        """Whether a click on the link asks for that very key: the scripts wrote keys into links as they were."""
        try:
            at = parse_url(link, self.bucket_rules)
        except Refused:
            return False
        return at.key == key and plus_as_space(at) is None

    def in_our_bucket(self, link: str) -> bool:
        """Whether the link leads there, be it as the scripts wrote it, or as the settings make it."""
        bucket, prefix = self.template.bucket, self.template.prefix
        if prefix and link.startswith(prefix):
            return True
        if bucket not in link:  # most links are of the vendor: parsing them would take half the time of an import
            return False
        if link.startswith((f"https://{bucket}.s3.", f"https://{bucket}.s3-")):
            return True
        try:
            return bool(parse_url(link, self.bucket_rules).bucket)
        except Refused:
            return False

    def _too_long(self, url: str, link: str) -> tuple[int, str, str] | None:
        for what, text, most in (("original", url, self.longest), ("link", link, LONG_TEXT)):
            if len(text) > most:
                why = f"the {what} that the scripts noted has {len(text):,} characters, the field takes {most:,}"
                return 0, FailureClass.BAD_URL.value, why
        return None

    def _source(self, url: str, link: str) -> tuple[int, str, str]:
        if not url.strip():
            return 0, FailureClass.NO_URL.value, NO_ORIGINAL
        if url == link or self.in_our_bucket(url):
            return 0, FailureClass.ALREADY_OURS.value, LOST
        try:
            return identity_hash(parse_url(url, self.rules).identity), "", ""
        except Refused as refused:
            return 0, refused.failure.value, str(refused)

    def _copy(self, key: str, link: str) -> tuple[str, str]:
        if not key or not link:
            return FailureClass.COPY_MISSING.value, "the original scripts noted no key for its copy"
        if len(key) > _KEY:
            return FailureClass.COPY_MISSING.value, f"its key has {len(key):,} characters, and S3 takes no such key"
        if not self.in_our_bucket(link):
            return FailureClass.COPY_MISSING.value, "its copy lies in another bucket than destination.bucket"
        return "", ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:_KEPT]


def _account(text: str) -> str:
    try:
        return to18(text.strip())
    except ValueError:
        return ""


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)
