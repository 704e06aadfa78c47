"""The sections about this machine: tracking DB, log, metrics, and the way to the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from engine.model.base_url import url_fault
from engine.settings.section import MASKED, File, Section, matching


class TrackingSettings(Section):
    """Where the tracking DB lives."""

    database: File = Field(
        Path("migration_tracking.db"),
        validate_default=True,
        description="on a local disk, never on a network share, in a folder that exists",
    )


class LoggingSettings(Section):
    """Where the JSON log goes, and how detailed it is."""

    directory: File = Field(
        Path("logs"), validate_default=True, description="JSON lines and crash files; rotated, at most 1 GiB"
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug | info | warning | error")


class MetricsSettings(Section):
    """Prometheus metrics of the tracking DB, while a run works and at its end."""

    listen: (
        Annotated[str, matching(r"([^\s:]+|\[[0-9a-fA-F:]+\]):\d{1,5}", "host:port, such as 127.0.0.1:9108")] | None
    ) = Field(None, description="such as 127.0.0.1:9108; serves /metrics while a run works")
    textfile: File | None = Field(
        None,
        description="for node_exporter, a name that ends in .prom; written anew every 30 s of a run, and at its end",
    )


class NotifySettings(Section):
    """Who is told how runs end, and what they meet."""

    url: SecretStr | None = Field(
        None, description="gets a POST of JSON with a text, as Slack takes it; a webhook's address is a secret"
    )
    secret: SecretStr | None = Field(
        None, description="signs the body: X-Engine-Signature is sha256= and its HMAC in hexadecimal"
    )
    command: list[str] = Field(
        default_factory=list, description="a program and its arguments; gets the same JSON on its standard input"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.url is not None and (fault := url_fault(self.url.get_secret_value(), insecure=False)):
            yield "url", fault
        if self.secret is not None and self.url is None:
            yield "secret", "signs what goes to notify.url, which is not set"


class NetworkSettings(Section):
    """How this machine reaches the network: a proxy, a private CA."""

    proxy: Annotated[str | None, MASKED] = Field(
        None, description="http://host:port; with user:password@ it is a secret: ENGINE_NETWORK__PROXY"
    )
    ca_file: File | None = Field(None, description="PEM of a private CA, trusted beside the system's")
    loopback_only: bool = Field(
        False,
        description="for rehearsals: org, source and destination must be on this machine; set in this file, it also "
        "keeps ENGINE_ variables from being read",
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if not self.proxy:
            return
        scheme, _, rest = self.proxy.partition("://")
        login, _, place = rest.rpartition("@")
        if url_fault(f"{scheme}://{place}", insecure=True):
            yield "proxy", "must be a URL such as http://proxy.example:3128"
        elif re.search(r"[\s/?#\\\"'<>]", login):
            yield (
                "proxy",
                "has a user name or password with characters that must be percent-encoded, such as %2F for a slash",
            )
