"""Settings: one typed, strict tree from ``settings.yaml``, the environment (``ENGINE_…``) and flags, in rising order.

Every key is contract. Unknown keys are errors that name the nearest known one (``engine/reading``). Secrets are
``SecretStr``: their repr is masked, and ``snapshot()`` leaves them out altogether.

The descriptions are the comments of ``settings.yaml`` (``engine/reading/template.py`` writes it); a field with
``examples`` shows the first of them there in place of its default.
"""

from __future__ import annotations

from engine.settings.executor import ExecutorSettings
from engine.settings.machine import LoggingSettings, MetricsSettings, NetworkSettings, NotifySettings, TrackingSettings
from engine.settings.salesforce import LoginSettings, RecordSettings, SalesforceSettings
from engine.settings.stores import Credentials, DestinationSettings, ResolverSettings, SourceSettings
from engine.settings.tree import Settings
from engine.settings.work import MigrationSettings, RestrictionSettings, SwitchSettings

__all__ = [
    "Credentials",
    "DestinationSettings",
    "ExecutorSettings",
    "LoggingSettings",
    "LoginSettings",
    "MetricsSettings",
    "MigrationSettings",
    "NetworkSettings",
    "NotifySettings",
    "RecordSettings",
    "ResolverSettings",
    "RestrictionSettings",
    "SalesforceSettings",
    "Settings",
    "SourceSettings",
    "SwitchSettings",
    "TrackingSettings",
]
