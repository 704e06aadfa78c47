"""Settings: one typed, strict tree from ``settings.yaml``, the environment (``ENGINE_…``) and flags, in rising order.

Every key is contract. Unknown keys are errors that name the nearest known one (``engine/settings_load.py``). Secrets
are ``SecretStr``: their repr is masked, and ``snapshot()`` leaves them out altogether.

The descriptions are the comments of ``settings.yaml`` (``engine/settings_text.py`` writes it); a field with
``examples`` shows the first of them there in place of its default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from engine.model.hosts import store_at
from engine.model.keys import Form
from engine.model.text import bare_urls
from engine.settings_rules import AT_HOME, VEILED, is_local, matching, template_fault, url_fault
from engine.settings_rules import checked_url as checked_url
from engine.settings_rules import is_loopback as is_loopback

_BARRED = ", and network.loopback_only bars that"
_NAME = r"[A-Za-z][A-Za-z0-9_]{0,79}"

Identifier = Annotated[str, matching(_NAME, "one API name, such as Document__c")]
FieldPath = Annotated[str, matching(rf"{_NAME}(\.{_NAME}){{0,5}}", "API names joined by dots, such as Account__r.Name")]
Bucket = Annotated[
    str,
    matching(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", "a bucket's name alone, of 3 to 255 letters, digits, dots, dashes"),
]
Origin = Annotated[
    str,
    matching(
        r"(https?://)?([A-Za-z0-9.\-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?", "a host, host:port or https://host:port, no more"
    ),
]
File = Annotated[Path, AT_HOME]
Filled = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A strict, frozen group of settings."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True, allow_inf_nan=False
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Settings that do not go together: the key to blame within this section, and what is wrong with it."""
        return iter(())

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if found := list(self.conflicts()):
            text = "; ".join(f"{key} {fault}" for key, fault in found)
            raise PydanticCustomError("conflicts", "{text}", {"text": text, "found": found})
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            veiled = name is not None and VEILED in type(self).model_fields[name].metadata
            yield name, bare_urls(value) if veiled and isinstance(value, str) else value


class Credentials(Section):
    """AWS keys, or the name of a profile; with neither, the AWS default chain answers."""

    profile: str | None = Field(None, description="AWS profile; null and no keys: the AWS default chain")
    access_key_id: SecretStr | None = Field(None, description="with secret_access_key, instead of a profile")
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = Field(None, description="only for temporary keys")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            given, absent = "access_key_id", "secret_access_key"
            if self.access_key_id is None:
                given, absent = absent, given
            yield given, f"goes together with {absent}; set both or neither"
        if self.session_token and not self.access_key_id:
            yield "session_token", "needs access_key_id and secret_access_key beside it"
        if self.profile and (self.access_key_id or self.secret_access_key):
            yield "profile", "and access_key_id exclude each other; keep one"


class SalesforceSettings(Section):
    """The org, how to log in, and which object and fields hold the links."""

    login_url: str = Field(
        "https://login.salesforce.com",
        description="your org's My Domain",
        examples=["https://mydomain.my.salesforce.com"],
    )
    auth: Literal["client_credentials", "jwt", "refresh_token", "password", "access_token", "sf_cli"] = Field(
        "client_credentials",
        description="client_credentials | jwt | refresh_token | password | access_token | sf_cli",
    )
    client_id: str | None = Field(None, description="consumer key of the connected app (every auth but sf_cli)")
    client_secret: SecretStr | None = Field(None, description="for client_credentials, refresh_token, password")
    jwt_key_file: File | None = Field(None, description="for jwt: the private key, PEM")
    refresh_token: SecretStr | None = Field(None, description="for refresh_token")
    refresh_token_file: File | None = Field(
        None, description="in its place; where the app rotates its tokens, the newest one is written back here"
    )
    username: str | None = Field(None, description="for jwt and password")
    password: SecretStr | None = Field(None, description="for password")
    security_token: SecretStr | None = Field(None, description="for password, unless this address is trusted")
    access_token: SecretStr | None = Field(None, description="for access_token, with instance_url")
    instance_url: str | None = Field(None, description="for access_token: where the API is")
    target_org: str | None = Field(None, description="for sf_cli: alias or user name; null: the CLI's default org")
    audience: str | None = Field(None, description="for jwt: the aud claim, where it is not the login host")
    api_version: Annotated[str, matching(r"\d{2,3}\.0", 'a version such as "62.0"')] = "62.0"
    org_id: Annotated[str, matching(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?", "an Id of 15 or 18 characters")] | None = (
        Field(None, description="pin: refuse any other org, such as 00D5g000001AbCdEAF")
    )
    object: Identifier = Field("DocListEntry__c", description="the object whose records hold the links")
    url_field: Identifier = Field("Document__c", description="the link; the one field a switch ever writes")
    account_field: Identifier = "Account__c"
    account_name_field: FieldPath = "Account__r.Name"
    name_field: Identifier = "Name"
    where: str | None = Field(None, description="extra SOQL condition, such as IsActive__c = true")
    api_budget: Annotated[float, Field(gt=0, le=1)] = Field(
        0.7, description="never use more than this share of the org's daily calls"
    )
    insecure: bool = Field(False, description="allow plain http to a host that is not this machine")

    @field_validator("api_version", mode="before")
    @classmethod
    def _version(cls, value: Any) -> Any:
        """``62.0`` without quotes is a number to YAML; it can only mean one version."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:.1f}" if value * 10 == int(value * 10) else str(value)
        return f"{value}.0" if isinstance(value, str) and value.isdecimal() else value

    def conflicts(self) -> Iterator[tuple[str, str]]:
        for key, url in (("login_url", self.login_url), ("instance_url", self.instance_url)):
            if url and (fault := url_fault(url, insecure=self.insecure)):
                yield key, fault


class ResolverSettings(Section):
    """A vendor API that answers a presigned URL per record."""

    url: Annotated[str, VEILED] = Field(
        description="{Field} stands for a field of the record", examples=["https://vendor/api/files/{Identifier__c}"]
    )
    json_pointer: Annotated[str, matching(r"(/.*)?", "a JSON pointer such as /data/url")] = Field(
        "/url", description="where in the answer the URL is (RFC 6901)"
    )
    token: SecretStr | None = Field(None, description="sent as a bearer token")
    insecure: bool = Field(False, description="allow plain http to a host that is not this machine")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if fault := url_fault(re.sub(r"\{[^}]*\}", "x", self.url), insecure=self.insecure):
            yield "url", fault


class SourceSettings(Credentials):
    """The vendor's side: read only, and only the origins named here."""

    access: Literal["auto", "s3", "http"] = Field("auto", description="auto | s3 | http")
    endpoint_url: str | None = Field(None, description="for S3-compatible stores; null: AWS")
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
    expected_bucket_owner: str | None = Field(None, description="refuse a bucket of another AWS account (12 digits)")
    inventory: Literal["auto", "always", "never"] = Field(
        "auto", description="list the source bucket once instead of a HEAD per file: auto | always | never"
    )
    resolver: ResolverSettings | None = Field(
        None, description="a vendor API that answers a presigned URL per record; null: none"
    )
    insecure: bool = Field(False, description="allow plain http to a host that is not this machine")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super().conflicts()
        if self.endpoint_url and (fault := url_fault(self.endpoint_url, insecure=self.insecure)):
            yield "endpoint_url", fault
        for host in self.allowed_hosts:
            if host.startswith("http://") and (fault := url_fault(host, insecure=self.insecure)):
                yield "allowed_hosts", f"holds {host}, which {fault}"


class DestinationSettings(Credentials):
    """Our side: where copies go, under which keys, and what the new links look like."""

    bucket: Bucket = Field(description="your bucket", examples=["my-documents"])
    endpoint_url: str | None = Field(None, description="for S3-compatible stores; null: AWS")
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
    expected_bucket_owner: str | None = Field(None, description="refuse a bucket of another AWS account (12 digits)")
    insecure: bool = Field(False, description="allow plain http to a host that is not this machine")

    @property
    def form(self) -> Form:
        """What our links look like."""
        return Form(self.url_template, self.bucket, self.region)

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
        if self.endpoint_url and (fault := url_fault(self.endpoint_url, insecure=self.insecure)):
            yield "endpoint_url", fault
        if self.kms_key_id and self.sse != "aws:kms":
            yield "kms_key_id", "needs sse: aws:kms"


class MigrationSettings(Section):
    """How hard to work, what to leave out, when to give up.

    Memory is bounded by ``queue_size`` plans, two batches of outcomes, and the bytes in flight: at most
    ``4 x part_size_mb`` per large file within the shared byte budget of the pipeline.
    """

    concurrency: Annotated[int, Field(ge=1, le=4096)] = Field(
        200, description="files in flight at most; it adapts below"
    )
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(2000, description="plans waiting at most")
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = Field(500, description="outcomes per commit")
    part_size_mb: Annotated[int, Field(ge=5, le=5120)] = Field(
        16, description="in MiB; files beyond four times this size travel in parts of it"
    )
    max_file_size_mb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="in MB (10⁶ bytes); larger files are skipped; null: no limit"
    )
    allowed_extensions: list[str] = Field(default_factory=list, description="such as [.pdf, .docx]; empty: all")
    test_single_account: bool = Field(False, description="restrict every command to test_account_id")
    test_account_id: str | None = Field(None, description='in quotes: "0015g00000AbCdEAAV"')
    max_test_files: Annotated[int, Field(ge=1)] | None = Field(
        None, description="stop each run after so many files that need work; unchanged ones do not count"
    )
    dry_run: bool = Field(False, description="no command writes anything, whatever its flags say")
    bandwidth_mb_s: Annotated[float, Field(gt=0)] | None = Field(
        None, description="in MB (10⁶ bytes) a second; null: no limit"
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="tries per file and run; ten times as many where a store is only too busy (429, 503)"
    )
    checksum: Literal["sha256", "crc64nvme"] = Field("sha256", description="sha256 | crc64nvme (needs the crt extra)")
    tags: Literal["keep", "drop"] = Field(
        "keep",
        description="object tags of S3: keep | drop; kept where they may be read and written, else left behind with a "
        "note",
    )
    error_budget: Annotated[float, Field(ge=0, le=1)] = Field(
        0.2,
        description="stop, resumable (exit 5), when this share of the last 1,000 files failed with network, throttled, "
        "source_denied, destination_denied or checksum_mismatch; what failed before and is tried again does not count",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        30, description="how long files in flight may take to finish after a stop"
    )

    @field_validator("allowed_extensions")
    @classmethod
    def _dotted(cls, value: list[str]) -> list[str]:
        return [("" if v.startswith(".") else ".") + v.lower() for v in value if v.strip()]

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.test_single_account and not self.test_account_id:
            yield "test_single_account", "is on, but test_account_id names no account"


class SwitchSettings(Section):
    """Waves and limits of the link switch."""

    waves: list[int | str] = Field(
        default_factory=lambda: list[int | str]([1, 100, "1%", "10%", "100%"]),
        description="cumulative targets of the plan, as counts or shares; empty waves are skipped",
    )
    max_drift: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="stop when this share of a wave was edited meanwhile, counted from 50 records on"
    )
    accept_proof: tuple[Literal["checksum", "etag", "received", "size"], ...] = Field(
        ("checksum", "etag", "received"),
        description="of checksum, etag, received, size; files proved by size alone wait for verify --level deep",
    )
    journal_key_file: File | None = Field(None, description="null: generated beside the database, mode 0600")

    @field_validator("waves")
    @classmethod
    def _targets(cls, value: list[int | str]) -> list[int | str]:
        for wave in value:
            count = isinstance(wave, int) and wave >= 1
            share = isinstance(wave, str) and re.fullmatch(r"100%|\d{1,2}(\.\d+)?%", wave) and wave.strip("0.%")
            if not (count or share):
                msg = f"holds {wave!r}; a wave is a count of records from 1 up, or a share such as '10%'"
                raise ValueError(msg)
        return value


class TrackingSettings(Section):
    """Where the tracking DB lives."""

    database: File = Field(
        Path("migration_tracking.db"),
        validate_default=True,
        description="on a local disk, never on a network share, in a folder that exists",
    )


class LoggingSettings(Section):
    """Where the JSON log goes and how much of it."""

    directory: File = Field(
        Path("logs"), validate_default=True, description="JSON lines and crash files; rotated, at most 1 GiB"
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug | info | warning | error")


class MetricsSettings(Section):
    """Reserved for metrics: nothing is served yet."""

    listen: (
        Annotated[str, matching(r"([^\s:]+|\[[0-9a-fA-F:]+\]):\d{1,5}", "host:port, such as 127.0.0.1:9108")] | None
    ) = Field(None, description="reserved: nothing is served yet, whatever is set here, such as 127.0.0.1:9108")


class NetworkSettings(Section):
    """The way out: a proxy and a private CA."""

    proxy: Annotated[str | None, VEILED] = Field(
        None, description="http://host:port; with user:password@ it is a secret: ENGINE_NETWORK__PROXY"
    )
    ca_file: File | None = Field(None, description="PEM of a private CA, trusted beside the system's")
    loopback_only: bool = Field(
        False,
        description="for rehearsals: org, source and destination must be on this machine, and where this file says so "
        "no ENGINE_ variable is read",
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if not self.proxy:
            return
        scheme, _, rest = self.proxy.partition("://")
        login, _, place = rest.rpartition("@")
        if url_fault(f"{scheme}://{place}", insecure=True):
            yield "proxy", "must be a URL such as http://proxy.example:3128"
        elif re.search(r"[\s/?#\\\"'<>]", login):
            yield "proxy", "has a user name or password with characters that must be written as in %2F for a slash"


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
    prices: dict[str, Any] = Field(
        default_factory=dict,
        description="for analyze, in place of the built-in, dated list prices, such as {put: 0.005, currency: EUR}; "
        "put, list, get, kms: 1,000 requests; storage: GB and month; transfer, internet: GB; currency, as_of",
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        one_store = store_at(self.source.endpoint_url) == store_at(self.destination.endpoint_url)
        if one_store and self.destination.bucket in self.source.buckets:
            yield "destination.bucket", "is also a source bucket; keep them apart"
        if self.network.loopback_only:
            yield from self._leading_away()

    def _leading_away(self) -> Iterator[tuple[str, str]]:
        """What may reach beyond this machine: places, a session that `sf` knows, keys that AWS looks for."""
        org, source, ours = self.salesforce, self.source, self.destination
        places = [
            ("salesforce.login_url", org.login_url),
            ("salesforce.instance_url", org.instance_url),
            ("source.endpoint_url", source.endpoint_url or "AWS"),
            *(("source.allowed_hosts", host) for host in source.allowed_hosts),
            ("source.resolver.url", source.resolver and source.resolver.url),
            ("destination.endpoint_url", ours.endpoint_url or "AWS"),
            ("network.proxy", self.network.proxy),
        ]
        yield from ((key, "leads beyond this machine" + _BARRED) for key, url in places if url and not is_local(url))
        if org.auth == "sf_cli":
            yield "salesforce.auth", "takes its org from elsewhere" + _BARRED
        for key, side in (("source", source), ("destination", ours)):
            if not side.access_key_id and not (side is source and source.anonymous):
                yield f"{key}.access_key_id", "is missing, and keys would be looked for elsewhere" + _BARRED

    def snapshot(self) -> dict[str, Any]:
        """The settings as plain JSON values with every secret left out: what ``config_snapshot`` stores."""
        return _without_secrets(self)


def _without_secrets(section: BaseModel) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, SecretStr):
            continue
        if isinstance(value, BaseModel):
            plain[name] = _without_secrets(value)
        elif isinstance(value, str) and VEILED in field.metadata:
            plain[name] = bare_urls(value)
        else:
            plain[name] = str(value) if isinstance(value, Path) else value
    return plain
