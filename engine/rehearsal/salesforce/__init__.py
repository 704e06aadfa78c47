"""A stand-in for a Salesforce org: a real HTTP server with its rows in SQLite, as strict as the service it imitates.

It is a simulator, says so on ``GET /``, and logs every request. Start it in a test::

    async with SalesforceStandIn(StandInSettings()).serve() as server:
        server.url, server.login_url, server.world

or as a process: ``python -m engine.rehearsal.salesforce --port 0 --db org.db --ready-file ready.json``.
Faults, clock and ground truth are behind ``/__sim__/…``; ``handlers/control.py`` lists them.
"""

from __future__ import annotations

from engine.rehearsal.salesforce.schema import Field, Schema, SObject, default_schema
from engine.rehearsal.salesforce.server import SalesforceStandIn, Server
from engine.rehearsal.salesforce.settings import StandInSettings
from engine.rehearsal.salesforce.world import World

__all__ = ["Field", "SObject", "SalesforceStandIn", "Schema", "Server", "StandInSettings", "World", "default_schema"]
