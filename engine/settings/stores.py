"""The ``source`` and ``destination`` sections: the two stores, and how to log in to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from engine.model.base_url import url_fault
from engine.model.keys import LinkTemplate
from engine.settings.section import MASKED, Bucket, Filled, Insecure, Origin, Section, matching, template_fault


class Credentials(Section):
    """AWS keys, or the name of a profile; with neither, the AWS default chain answers."""

    profile: str | None = Field(None, description="AWS profile; null and no keys: the AWS default chain")
    access_key_id: SecretStr | None = Field(None, description="with secret_access_key, instead of a profile")
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = Field(None, description="only for temporary keys")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super().conflicts()
        if (self.access_key_id is None) != (self.secret_access_key is None):
            given, absent = "access_key_id", "secret_access_key"
            if self.access_key_id is None:
                given, absent = absent, given
            yield given, f"goes together with {absent}; set both or neither"
        if self.session_token and not self.access_key_id:
            yield "session_token", "needs access_key_id and secret_access_key beside it"
        if self.profile and (self.access_key_id or self.secret_access_key):
            yield "profile", "and access_key_id exclude each other; keep one"


class StoreSettings(Section):
    """What both stores need alike."""

    endpoint_url: str | None = Field(None, description="for S3-compatible stores; null: AWS")
    expected_bucket_owner: str | None = Field(None, description="refuse a bucket of another AWS account (12 digits)")
    insecure: Insecure = False

    def conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super().conflicts()
        if self.endpoint_url and (fault := url_fault(self.endpoint_url, insecure=self.insecure)):
            yield "endpoint_url", fault


class ResolverSettings(Section):
    """A vendor API that answers a presigned URL per record."""

    url: Annotated[str, MASKED] = Field(
        description="{Field} stands for a field of the record", examples=["https://vendor/api/files/{Identifier__c}"]
    )
    json_pointer: Annotated[str, matching(r"(/.*)?", "a JSON pointer such as /data/url")] = Field(
        "/url", description="where in the answer the URL is (RFC 6901)"
    )
    token: SecretStr | None = Field(None, description="sent as a bearer token")
    insecure: Insecure = False

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if fault := url_fault(re.sub(r"\{[^}]*\}", "x", self.url), insecure=self.insecure):
            yield "url", fault


class SourceSettings(Credentials, StoreSettings):
    """The vendor's side: read only, and only the origins named here."""

    access: Literal["auto", "s3", "http"] = Field("auto", description="auto | s3 | http")
    region: Filled = Field("us-east-1", description="the source buckets' region", examples=["us-west-2"])
    buckets: list[Bucket] = Field(
        default_factory=list,
        description="the vendor's buckets that links may point at",
        examples=[["trackland-doc-storage"]],
    )
    allowed_hosts: list[Origin] = Field(
        default_factory=list, description="more hosts that plain http(s) GETs may reach"
    )
    anonymous: bool = Field(False, description="do not sign requests; for public buckets")
    request_payer: bool = Field(False, description="accept the charges of a requester-pays bucket")
    inventory: Literal["auto", "always", "never"] = Field(
        "auto", description="list the source bucket once instead of a HEAD per file: auto | always | never"
    )
    resolver: ResolverSettings | None = Field(
        None, description="a vendor API that answers a presigned URL per record; null: none"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super().conflicts()
        for host in self.allowed_hosts:
            if host.startswith("http://") and (fault := url_fault(host, insecure=self.insecure)):
                yield "allowed_hosts", f"holds {host}, which {fault}"


class DestinationSettings(Credentials, StoreSettings):
    """Our side: where copies go, under which keys, and what the new links look like."""

    bucket: Bucket = Field(description="your bucket", examples=["my-documents"])
    region: Filled = Field("us-east-1", description="your bucket's region")
    key_template: str = Field(
        "uploads/{account_id}/{record_id}/{file_name}",
        description="names: account_id account_name record_id record_name file_name stem ext source_key bucket",
    )
    url_template: str = Field(
        "https://{bucket}.s3.{region}.amazonaws.com/{key}",
        description="what a switched link looks like; names: bucket region key",
    )
    storage_class: str | None = Field(None, description="such as STANDARD_IA; null: the bucket's default")
    sse: Literal["AES256", "aws:kms"] | None = Field(None, description="AES256 | aws:kms; null: the bucket's default")
    kms_key_id: str | None = Field(None, description="for aws:kms; null: the AWS managed key")

    @property
    def link_template(self) -> LinkTemplate:
        """What our links look like."""
        return LinkTemplate(self.url_template, self.bucket, self.region)

    @field_validator("key_template")
    @classmethod
    def _key_is_unique(cls, value: str) -> str:
        known = {"account_id", "account_name", "record_id", "record_name", "file_name", "stem", "ext", "source_key"}
        why = ": without it two records with one file name would share a key"
        if fault := template_fault(value, known=known | {"bucket"}, needed="record_id", why=why):
            raise ValueError(fault)
        return value

    @field_validator("url_template")
    @classmethod
    def _url_holds_key(cls, value: str) -> str:
        if fault := template_fault(value, known={"bucket", "region", "key"}, needed="key", why=""):
            raise ValueError(fault)
        return value

    def conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super().conflicts()
        if self.kms_key_id and self.sse != "aws:kms":
            yield "kms_key_id", "needs sse: aws:kms"
