"""Settings: one typed, strict tree from ``settings.yaml``, the environment (``ENGINE_…``) and flags, in rising order.

Every key is contract. Unknown keys are errors that name the nearest known one (``engine/settings_load.py``). Secrets
are ``SecretStr``: their repr is masked, and ``snapshot()`` leaves them out altogether.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
FieldPath = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}(\.[A-Za-z][A-Za-z0-9_]{0,79}){0,5}$")]
Bucket = Annotated[str, Field(min_length=3, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]+$")]

LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$")


def is_loopback(host: str) -> bool:
    """Whether a host name or address literal is this machine."""
    return bool(LOOPBACK.match(host.lower()))


def checked_url(value: str, *, insecure: bool, key: str) -> str:
    """An http(s) base URL without credentials; plain http only to loopback unless marked ``insecure: true``."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{key} must be an http(s) URL with a host, such as https://example.my.salesforce.com"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = f"{key} must not hold a user name or password"
        raise ValueError(msg)
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname):
        msg = f"{key} is plain http to {parts.hostname}: use https, or set `insecure: true` beside it if that is meant"
        raise ValueError(msg)
    return value.rstrip("/")


class Section(BaseModel):
    """A strict, frozen group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True)


class Credentials(Section):
    """AWS keys, or the name of a profile; with neither, the AWS default chain answers."""

    profile: str | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> Credentials:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            msg = "access_key_id and secret_access_key go together; set both or neither"
            raise ValueError(msg)
        if self.profile and self.access_key_id:
            msg = "profile and access_key_id exclude each other; keep one"
            raise ValueError(msg)
        return self


class SalesforceSettings(Section):
    """The org, how to log in, and which object and fields hold the links."""

    login_url: str = "https://login.salesforce.com"
    auth: Literal["client_credentials", "jwt", "refresh_token", "password", "access_token", "sf_cli"] = (
        "client_credentials"
    )
    client_id: str | None = None
    client_secret: SecretStr | None = None
    jwt_key_file: Path | None = None
    refresh_token: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    security_token: SecretStr | None = None
    access_token: SecretStr | None = None
    instance_url: str | None = None
    target_org: str | None = None
    audience: str | None = None
    api_version: Annotated[str, Field(pattern=r"^\d{2,3}\.0$")] = "62.0"
    org_id: str | None = None
    object: Identifier = "DocListEntry__c"
    url_field: Identifier = "Document__c"
    account_field: Identifier = "Account__c"
    account_name_field: FieldPath = "Account__r.Name"
    name_field: Identifier = "Name"
    where: str | None = None
    api_budget: Annotated[float, Field(gt=0, le=1)] = 0.7
    insecure: bool = False

    @model_validator(mode="after")
    def _urls(self) -> SalesforceSettings:
        checked_url(self.login_url, insecure=self.insecure, key="salesforce.login_url")
        if self.instance_url:
            checked_url(self.instance_url, insecure=self.insecure, key="salesforce.instance_url")
        return self


class ResolverSettings(Section):
    """A vendor API that answers a presigned URL per record."""

    url: str
    json_pointer: Annotated[str, Field(pattern=r"^(/.*)?$")] = "/url"
    token: SecretStr | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _url(self) -> ResolverSettings:
        checked_url(re.sub(r"\{[^}]*\}", "x", self.url), insecure=self.insecure, key="source.resolver.url")
        return self


class SourceSettings(Credentials):
    """The vendor's side: read only, and only the origins named here."""

    access: Literal["auto", "s3", "http"] = "auto"
    endpoint_url: str | None = None
    region: str = "us-east-1"
    buckets: list[Bucket] = Field(default_factory=list)
    allowed_hosts: list[str] = Field(default_factory=list)
    anonymous: bool = False
    request_payer: bool = False
    expected_bucket_owner: str | None = None
    inventory: Literal["auto", "always", "never"] = "auto"
    resolver: ResolverSettings | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _reachable(self) -> SourceSettings:
        if self.endpoint_url:
            checked_url(self.endpoint_url, insecure=self.insecure, key="source.endpoint_url")
        for host in self.allowed_hosts:
            if not re.fullmatch(
                r"(https?://)?[A-Za-z0-9.\-]+(:\d{1,5})?|(https?://)?\[[0-9a-fA-F:]+\](:\d{1,5})?", host
            ):
                msg = f"allowed_hosts holds {host!r}; write a host, host:port or https://host:port"
                raise ValueError(msg)
            if host.startswith("http://"):
                checked_url(host, insecure=self.insecure, key="source.allowed_hosts")
        return self


class DestinationSettings(Credentials):
    """Our side: where copies go, under which keys, and what the new links look like."""

    bucket: Bucket
    endpoint_url: str | None = None
    region: str = "us-east-1"
    key_template: str = "uploads/{account_id}/{record_id}/{file_name}"
    url_template: str = "https://{bucket}.s3.{region}.amazonaws.com/{key}"
    storage_class: str | None = None
    sse: Literal["AES256", "aws:kms"] | None = None
    kms_key_id: str | None = None
    expected_bucket_owner: str | None = None
    insecure: bool = False

    @field_validator("key_template")
    @classmethod
    def _key_is_unique(cls, value: str) -> str:
        names = set(re.findall(r"\{([^{}]*)\}", value))
        known = {
            "account_id",
            "account_name",
            "record_id",
            "record_name",
            "file_name",
            "stem",
            "ext",
            "source_key",
            "bucket",
        }
        if unknown := names - known:
            msg = f"key_template names {{{sorted(unknown)[0]}}}; known: {', '.join(sorted(known))}"
            raise ValueError(msg)
        if "record_id" not in names:
            msg = "key_template must contain {record_id}: without it two records with one file name would share a key"
            raise ValueError(msg)
        return value

    @field_validator("url_template")
    @classmethod
    def _url_holds_key(cls, value: str) -> str:
        names = set(re.findall(r"\{([^{}]*)\}", value))
        if "key" not in names:
            msg = "url_template must contain {key}"
            raise ValueError(msg)
        if unknown := names - {"bucket", "region", "key"}:
            msg = f"url_template names {{{sorted(unknown)[0]}}}; known: bucket, region, key"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DestinationSettings:
        if self.endpoint_url:
            checked_url(self.endpoint_url, insecure=self.insecure, key="destination.endpoint_url")
        if self.kms_key_id and self.sse != "aws:kms":
            msg = "kms_key_id needs sse: aws:kms"
            raise ValueError(msg)
        return self


class MigrationSettings(Section):
    """How hard to work, what to leave out, when to give up.

    Memory is bounded by ``queue_size`` plans, two batches of outcomes, and the bytes in flight: at most
    ``4 x part_size_mb`` per large file within the shared byte budget of the pipeline.
    """

    concurrency: Annotated[int, Field(ge=1, le=4096)] = 200
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 500
    part_size_mb: Annotated[int, Field(ge=5, le=5120)] = 16
    max_file_size_mb: Annotated[float, Field(gt=0)] | None = None
    allowed_extensions: list[str] = Field(default_factory=list)
    test_single_account: bool = False
    test_account_id: str | None = None
    max_test_files: Annotated[int, Field(ge=1)] | None = None
    dry_run: bool = False
    bandwidth_mb_s: Annotated[float, Field(gt=0)] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    checksum: Literal["sha256", "crc64nvme"] = "sha256"
    error_budget: Annotated[float, Field(ge=0, le=1)] = 0.2
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 30

    @field_validator("allowed_extensions")
    @classmethod
    def _dotted(cls, value: list[str]) -> list[str]:
        return [("" if v.startswith(".") else ".") + v.lower() for v in value if v.strip()]

    @model_validator(mode="after")
    def _account_named(self) -> MigrationSettings:
        if self.test_single_account and not self.test_account_id:
            msg = "test_single_account is on, but test_account_id names no account"
            raise ValueError(msg)
        return self


class SwitchSettings(Section):
    """Waves and limits of the link switch."""

    waves: list[int | str] = Field(default_factory=lambda: list[int | str]([1, 100, "1%", "10%", "100%"]))
    max_drift: Annotated[float, Field(ge=0, le=1)] = 0.02
    accept_proof: tuple[Literal["checksum", "etag", "size"], ...] = ("checksum", "etag")
    journal_key_file: Path | None = None

    @field_validator("waves")
    @classmethod
    def _targets(cls, value: list[int | str]) -> list[int | str]:
        for wave in value:
            if isinstance(wave, int) and wave < 1:
                msg = f"waves holds {wave}; a wave is a count of records from 1 up, or a share such as '10%'"
                raise ValueError(msg)
            if isinstance(wave, str) and not re.fullmatch(r"(100|\d{1,2})(\.\d+)?%", wave):
                msg = f"waves holds {wave!r}; a wave is a count of records, or a share such as '10%'"
                raise ValueError(msg)
        return value


class TrackingSettings(Section):
    """Where the tracking DB lives."""

    database: Path = Path("migration_tracking.db")


class LoggingSettings(Section):
    """Where the JSON log goes and how much of it."""

    directory: Path = Path("logs")
    level: Literal["debug", "info", "warning", "error"] = "info"


class MetricsSettings(Section):
    """Where metrics are served; nothing listens unless asked."""

    listen: Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$")] | None = None


class NetworkSettings(Section):
    """The way out: a proxy and a private CA."""

    proxy: str | None = None
    ca_file: Path | None = None


class Settings(Section):
    """The whole of ``settings.yaml``."""

    salesforce: SalesforceSettings = Field(default_factory=SalesforceSettings)
    source: SourceSettings = Field(default_factory=SourceSettings)
    destination: DestinationSettings
    migration: MigrationSettings = Field(default_factory=MigrationSettings)
    switch: SwitchSettings = Field(default_factory=SwitchSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    prices: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _not_onto_itself(self) -> Settings:
        same_service = (self.source.endpoint_url or "") == (self.destination.endpoint_url or "")
        if same_service and self.destination.bucket in self.source.buckets:
            msg = f"destination.bucket {self.destination.bucket!r} is also a source bucket; keep them apart"
            raise ValueError(msg)
        return self

    def snapshot(self) -> dict[str, Any]:
        """The settings as plain JSON values with every secret left out: what ``config_snapshot`` stores."""
        return _without_secrets(self)


def _without_secrets(section: BaseModel) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, SecretStr):
            continue
        if isinstance(value, BaseModel):
            plain[name] = _without_secrets(value)
        else:
            plain[name] = str(value) if isinstance(value, Path) else value
    return plain
