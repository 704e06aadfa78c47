"""Plans of a switch: made from the tracking DB, and compared with the settings before they are applied."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from engine.limiting.clock import iso
from engine.model.command import Advice, Command
from engine.model.errors import Blocked
from engine.model.record import ObjectShape
from engine.pipeline.switching import calls
from engine.runs.links.plan_file import Home, PlanFile, PlanWriter, Written, open_plan
from engine.runs.links.rollback_file import free
from engine.runs.shared.assembly import Services
from engine.runs.shared.report import by_reason
from engine.salesforce.shape import Organization
from engine.tracking.read import switchable
from engine.tracking.read.links import Foreign, outdated
from engine.tracking.read.lookups import first_start
from engine.tracking.read.switchable import Wanted


class Plans:
    """Of one org and object. ``wanted``: which records a new plan takes."""

    def __init__(
        self,
        services: Services,
        object_and_field: tuple[str, str],
        wanted: Wanted,
        organization: Organization,
        shape: ObjectShape,
    ) -> None:
        self._services = services
        self.wanted = wanted
        self.organization = organization
        self._shape = shape
        self._object_and_field = object_and_field
        self._template = services.ours.link_template
        self.foreign = Foreign()
        """Records that a new plan leaves out, because the link in their row is not made of its key."""
        self.notes: list[Advice] = []
        self.unseen: dict[str, int] = {}
        """Planned copies whose source the last scan could not check, by reason."""

    async def make(self, path: Path, run_id: int | None) -> tuple[Written, int]:
        """A plan, and how many Salesforce calls it takes. Raises Blocked where the file cannot be written."""
        shape = self._shape
        if await outdated(self._services.ledger.database, self._template):
            raise Blocked(
                "there are copies whose links were formed with another destination.url_template or region",
                hint=(Command("run backup --incremental"), "   forms them anew; it copies nothing for that"),
            )
        rows = await switchable.switchable(self._services.ledger.database, self.wanted)
        header = {
            "run": run_id,
            "at": iso(self._services.clock.now()),
            **(await self._home()).header(),
            "object": shape.name,
            "field": shape.url_field,
            "count": len(rows),
        }
        needed, too_long, blind = 0, 0, Counter[str]()
        writer = PlanWriter(path, header, self._services.ledger.database.files)
        for chunk in switchable.chunks(rows):
            rows_now = await switchable.links(self._services.ledger.database, chunk)
            links = [link for link in rows_now if link.new == self._template.url(link.copy.key)]
            if len(links) < len(rows_now):
                self.foreign.add(link.id for link in rows_now if link.new != self._template.url(link.copy.key))
            fitting = [link for link in links if len(link.new) <= shape.url_length or not shape.url_length]
            too_long += len(links) - len(fitting)
            needed += calls(fitting)
            writer.add(fitting)
            blind += Counter(await switchable.unseen(self._services.ledger.database, [link.id for link in fitting]))
        if too_long:
            self.notes.append(
                f"{too_long:,} records are left out: their new link is longer than {shape.url_length} characters"
            )
        self.unseen = dict(blind.most_common())
        if blind:
            self.notes.append(
                (
                    f"{blind.total():,} of these copies may be out of date: the last full scan ",
                    f"could not look at their sources ({by_reason(blind)}); ",
                    Command("run backup --full"),
                    " tries again",
                )
            )
        return writer.finish(), needed

    async def open(self, stack: ExitStack, path: Path) -> PlanFile:
        """Check and hold a plan. Raises Usage, Differs."""
        home = await self._home()
        return stack.enter_context(open_plan(path, home.why_not, self._template.url))

    async def _home(self) -> Home:
        services = self._services
        database = services.ledger.database
        begun = await database.read(first_start)
        return Home(self.organization, self._object_and_field, services.ours, database.path, begun)

    def path(self, run_id: int | None) -> Path:
        """Where a plan lies that nobody has named."""
        now = self._services.clock.now().strftime("%Y%m%dT%H%M%S%fZ")
        database = self._services.ledger.database.path
        return free(database, f"plan-{now}" if run_id is None else f"plan-run-{run_id}")
