"""The whole tree of settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr

from engine.model.base_url import is_local
from engine.model.hosts import store_at
from engine.model.text import bare_urls
from engine.settings.executor import ExecutorSettings
from engine.settings.machine import LoggingSettings, MetricsSettings, NetworkSettings, NotifySettings, TrackingSettings
from engine.settings.salesforce import SalesforceSettings
from engine.settings.section import MASKED, Section
from engine.settings.stores import DestinationSettings, SourceSettings
from engine.settings.work import MigrationSettings, SwitchSettings

_FORBIDDEN = ", which network.loopback_only forbids"


class Settings(Section):
    """The whole of ``settings.yaml``."""

    salesforce: SalesforceSettings = Field(default_factory=SalesforceSettings)
    source: SourceSettings = Field(default_factory=SourceSettings)
    destination: DestinationSettings
    migration: MigrationSettings = Field(default_factory=MigrationSettings)
    switch: SwitchSettings = Field(default_factory=SwitchSettings)
    executor: ExecutorSettings = Field(default_factory=ExecutorSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    prices: dict[str, Any] = Field(
        default_factory=dict,
        description="for analyze: your prices in place of the built-in ones, such as {put: 0.005, currency: EUR}; put, "
        "list, get, kms: per 1,000 requests; storage: per GB and month; transfer, internet: per GB; currency, as_of",
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        one_store = store_at(self.source.endpoint_url) == store_at(self.destination.endpoint_url)
        if one_store and self.destination.bucket in self.source.buckets:
            yield "destination.bucket", "is also a source bucket; keep them apart"
        if self.network.loopback_only:
            yield from self._beyond_this_machine()

    def _beyond_this_machine(self) -> Iterator[tuple[str, str]]:
        """What may reach beyond this machine: places, a session of `sf`, keys that AWS looks for."""
        org, source, ours = self.salesforce, self.source, self.destination
        places = [
            ("salesforce.login_url", org.login_url),
            ("salesforce.instance_url", org.instance_url),
            ("source.endpoint_url", source.endpoint_url or "AWS"),
            *(("source.allowed_hosts", host) for host in source.allowed_hosts),
            ("source.resolver.url", source.resolver and source.resolver.url),
            ("destination.endpoint_url", ours.endpoint_url or "AWS"),
            ("notify.url", self.notify.url and self.notify.url.get_secret_value()),
            ("network.proxy", self.network.proxy),
        ]
        yield from ((key, "leads beyond this machine" + _FORBIDDEN) for key, url in places if url and not is_local(url))
        if org.auth == "sf_cli":
            yield "salesforce.auth", "takes its org from elsewhere" + _FORBIDDEN
        for key, side in (("source", source), ("destination", ours)):
            if not side.access_key_id and not (side is source and source.anonymous):
                yield f"{key}.access_key_id", "is missing, so keys would be looked for elsewhere" + _FORBIDDEN

    @property
    def attended(self) -> bool:
        """Whether anything goes on beside a run: somebody is told, or metrics are served or written."""
        notify, metrics = self.notify, self.metrics
        return bool(notify.url or notify.command or metrics.listen or metrics.textfile)

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
        elif isinstance(value, str) and MASKED in field.metadata:
            plain[name] = bare_urls(value)
        else:
            plain[name] = str(value) if isinstance(value, Path) else value
    return plain
