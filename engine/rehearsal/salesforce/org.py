"""One stand-in org: everything the handlers share."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.ids import to18
from engine.rehearsal.salesforce.clock import OrgClock
from engine.rehearsal.salesforce.faults import FaultBook
from engine.rehearsal.salesforce.locators import Locators
from engine.rehearsal.salesforce.locks import ParentLocks
from engine.rehearsal.salesforce.requestlog import RequestLog
from engine.rehearsal.salesforce.rewriting import Rewriting
from engine.rehearsal.salesforce.routing import Router
from engine.rehearsal.salesforce.schema import Schema
from engine.rehearsal.salesforce.sessions import Sessions
from engine.rehearsal.salesforce.settings import StandInSettings
from engine.rehearsal.salesforce.tooling import tooling_world
from engine.rehearsal.salesforce.usage import Usage
from engine.rehearsal.salesforce.world import World, make_id


class Org:
    """The parts, wired. ``instance_url`` and ``login_url`` are known once the server listens."""

    def __init__(self, settings: StandInSettings, schema: Schema, clock: OrgClock, router: Router[Org]) -> None:
        self.settings = settings
        self.schema = schema
        self.clock = clock
        self.router = router
        self.org_id = to18(settings.org_id)
        self.user_id = make_id("005", 1)
        self.colleague_id = make_id("005", 2)
        self.world = World(schema, clock, settings.db, self.colleague_id)
        self.tooling = tooling_world(clock, self.colleague_id)
        self.sessions = Sessions(self.org_id, clock, settings.session_idle_s)
        self.faults = FaultBook()
        self.usage = Usage(clock, settings.daily_max)
        self.locators = Locators(self.world.connection, clock)
        self.locks = ParentLocks(self.world)
        self.log = RequestLog()
        self.instance_url = ""
        self.login_url = ""
        self.used_refresh_tokens: set[str] = set()
        self.read_only_ids: set[str] = set()
        self.hidden_ids: set[str] = set()
        self.rewriting: Rewriting | None = None
        self.later: list[Callable[[], None]] = []
        """What automation is yet to do."""
        self._settle()

    def close(self) -> None:
        """Release the databases."""
        self.world.close()
        self.tooling.close()

    def _settle(self) -> None:
        settings = self.settings
        if self.world.record(self.org_id) is None:
            self.world.load(
                "Organization",
                [
                    {
                        "Id": self.org_id,
                        "Name": settings.org_name,
                        "OrganizationType": settings.org_type,
                        "IsSandbox": settings.is_sandbox,
                        "InstanceName": settings.instance_name,
                    }
                ],
            )
        if self.world.record(self.user_id) is None:
            people = [
                (self.user_id, "Rehearsal Operator", settings.username),
                (self.colleague_id, "A Colleague", "colleague@example.test"),
            ]
            self.world.load(
                "User",
                [
                    {"Id": row_id, "Name": name, "Username": mail, "Email": mail, "IsActive": True}
                    for row_id, name, mail in people
                ],
            )
