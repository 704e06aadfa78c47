"""The ``salesforce`` section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator

from engine.model.base_url import url_fault
from engine.settings.section import FieldPath, File, Identifier, Insecure, Section, matching


class LoginSettings(Section):
    """Where the org is, and how to log in."""

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
        None, description="in place of refresh_token; where the app rotates its tokens, the newest one is written here"
    )
    username: str | None = Field(None, description="for jwt and password")
    password: SecretStr | None = Field(None, description="for password")
    security_token: SecretStr | None = Field(None, description="for password, unless this address is trusted")
    access_token: SecretStr | None = Field(None, description="for access_token, with instance_url")
    instance_url: str | None = Field(None, description="for access_token: where the API is")
    target_org: str | None = Field(None, description="for sf_cli: alias or user name; null: the CLI's default org")
    audience: str | None = Field(None, description="for jwt: the aud claim, where it is not the login host")
    insecure: Insecure = False

    def conflicts(self) -> Iterator[tuple[str, str]]:
        for key, url in (("login_url", self.login_url), ("instance_url", self.instance_url)):
            if url and (fault := url_fault(url, insecure=self.insecure)):
                yield key, fault


class ApiSettings(Section):
    """Which org is meant, and how its API is used."""

    api_version: Annotated[str, matching(r"\d{2,3}\.0", 'a version such as "62.0"')] = "62.0"
    org_id: Annotated[str, matching(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?", "an Id of 15 or 18 characters")] | None = (
        Field(None, description="refuse any org but this one, such as 00D5g000001AbCdEAF")
    )
    api_budget: Annotated[float, Field(gt=0, le=1)] = Field(
        0.7, description="use no more than this share of the org's daily calls; a rollback: 95 %"
    )

    @field_validator("api_version", mode="before")
    @classmethod
    def _version(cls, value: Any) -> Any:
        """``62.0`` without quotes is a number to YAML, and can only mean this version."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:.1f}" if value * 10 == int(value * 10) else str(value)
        return f"{value}.0" if isinstance(value, str) and value.isdecimal() else value


class RecordSettings(Section):
    """Which records hold the links, and in which fields."""

    object: Identifier = Field("DocListEntry__c", description="the object whose records hold the links")
    url_field: Identifier = Field("Document__c", description="the link; no other field is ever written")
    account_field: Identifier = "Account__c"
    account_name_field: FieldPath = "Account__r.Name"
    name_field: Identifier = "Name"
    where: str | None = Field(None, description="extra SOQL condition, such as IsActive__c = true")


class SalesforceSettings(RecordSettings, ApiSettings, LoginSettings):
    """The org, how to log in, and which object and fields hold the links."""
