"""How a bucket is set up: the few facts that decide whether copies are safe in it, and whether users can open them.

It only reads, and deletes the probe that doctor has written. Each fact may be denied by itself: reading a bucket's
set-up takes rights that copying into it does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from engine.model.facts import ARCHIVES
from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.sdk import SdkClient

_ABSENT = frozenset(
    {
        "ServerSideEncryptionConfigurationNotFoundError",
        "NoSuchLifecycleConfiguration",
        "NoSuchCORSConfiguration",
        "NoSuchBucketPolicy",
        "NoSuchPublicAccessBlockConfiguration",
    }
)
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a bucket. ``known`` is False where it may not be read, or the store does not support the request."""

    known: bool
    value: Any = None
    """None: not set."""
    why: str = ""
    """Why it is not known: the store's error code."""


class BucketSetup:
    """Reads the set-up of one bucket. No method raises."""

    def __init__(self, sdk: Callable[[], Awaitable[SdkClient]], bucket: str, always: Fields) -> None:
        """``sdk`` opens the SDK when it is first needed."""
        self._sdk = sdk
        self._bucket = bucket
        self._always = always

    async def encryption(self) -> Fact:
        """The default algorithm: ``AES256``, ``aws:kms`` …"""
        told = await self._ask("get_bucket_encryption")
        return _mapped(
            told,
            lambda answer: answer["ServerSideEncryptionConfiguration"]["Rules"][0][
                "ApplyServerSideEncryptionByDefault"
            ]["SSEAlgorithm"],
        )

    async def versioning(self) -> Fact:
        """``Enabled``, ``Suspended`` or None."""
        return _mapped(await self._ask("get_bucket_versioning"), lambda answer: answer.get("Status"))

    async def public_access_block(self) -> Fact:
        """The names of the four blocks that are on."""
        told = await self._ask("get_public_access_block")
        return _mapped(
            told,
            lambda answer: [name for name in _BLOCKS if answer["PublicAccessBlockConfiguration"].get(name)],
        )

    async def public_policy(self) -> Fact:
        """Whether the bucket's policy makes it public; None: there is no policy."""
        return _mapped(await self._ask("get_bucket_policy_status"), lambda answer: answer["PolicyStatus"]["IsPublic"])

    async def cors(self) -> Fact:
        """The CORS rules, as S3 has them."""
        return _mapped(await self._ask("get_bucket_cors"), lambda answer: answer["CORSRules"])

    async def aborts_uploads(self) -> Fact:
        """Days after which a lifecycle rule aborts incomplete multipart uploads; None: no such rule."""
        told = await self._ask("get_bucket_lifecycle_configuration")
        return _mapped(told, _abort_days)

    async def archives(self) -> Fact:
        """The archive classes that lifecycle rules move objects to; None: no rule is set."""
        return _mapped(await self._ask("get_bucket_lifecycle_configuration"), _archive_classes)

    async def ends(self, prefix: str) -> Fact:
        """What lifecycle rules do to objects below this prefix that takes them away: ``expire``, archive classes."""
        told = await self._ask("get_bucket_lifecycle_configuration")
        return _mapped(told, lambda answer: _ends(answer, prefix))

    async def remove(self, key: str) -> Fact:
        """Delete one object, for doctor's probe alone: whether its version remains, or why it could not be deleted."""
        return _mapped(await self._ask("delete_object", Key=key), lambda answer: bool(answer.get("DeleteMarker")))

    async def _ask(self, verb: str, **arguments: str) -> Fact:
        try:
            sdk = await self._sdk()
            return Fact(True, await sdk.ask(verb, self._always, Bucket=self._bucket, **arguments))
        except StoreError as error:
            if error.code in _ABSENT:
                return Fact(True)
            return Fact(False, why=error.code)


def _mapped(told: Fact, pick: Any) -> Fact:
    if not told.known or told.value is None:
        return told
    try:
        return Fact(True, pick(told.value))
    except (KeyError, IndexError, TypeError):
        return Fact(False, why="an answer without it")


def _archive_classes(answer: dict[str, Any]) -> list[str]:
    return sorted({each for rule in _enabled(answer) for each in _archived_by(rule)})


def _archived_by(rule: dict[str, Any]) -> set[str]:
    return {each["StorageClass"] for each in rule.get("Transitions", [])} & ARCHIVES


def _enabled(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for rule in answer.get("Rules", []) if rule.get("Status") == "Enabled"]


def _ends(answer: dict[str, Any], prefix: str) -> list[str]:
    """Rules that ask for tags are left out: what lies there has none."""
    found: set[str] = set()
    for rule in _enabled(answer):
        wanted = rule.get("Filter") or {}
        wanted = wanted.get("And") or wanted
        begins = wanted.get("Prefix", rule.get("Prefix")) or ""
        if wanted.get("Tag") or wanted.get("Tags") or not (prefix.startswith(begins) or begins.startswith(prefix)):
            continue
        found |= _archived_by(rule)
        if {"Days", "Date"} & set(rule.get("Expiration", {})):
            found.add("expire")
    return sorted(found)


def _abort_days(answer: dict[str, Any]) -> int | None:
    days = [
        int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        for rule in answer.get("Rules", [])
        if rule.get("Status") == "Enabled" and "AbortIncompleteMultipartUpload" in rule
    ]
    return min(days, default=None)
