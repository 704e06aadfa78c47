"""What a switch and a rollback share: what is checked first, the journal's beginning, the writing, a sign of life."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.limiting.clock import Clock
from engine.model.change import Change
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Differs
from engine.model.record import ObjectShape
from engine.pipeline.changing import Changing
from engine.pipeline.doubts import deadline, in_doubt
from engine.pipeline.link_endings import Rewritten
from engine.pipeline.link_slices import ChangePolicy, Slices, Steps
from engine.pipeline.stop import CutShort, unless_cut
from engine.pipeline.switching import Counts, DriftLimits
from engine.runs.journal.evidence import UNSETTLED, Evidence, gather_evidence, has_journal
from engine.runs.journal.off_box import ALONE
from engine.runs.shared.bounds import RunFlags, bounds_of
from engine.runs.shared.confirmation import Consent
from engine.runs.shared.lifecycle import Run, Start
from engine.runs.shared.preflight import unless_stopped
from engine.runs.shared.screen import Screen
from engine.settings import NetworkSettings, Settings
from engine.tracking.read import waived
from engine.tracking.read.journal import open_changes
from engine.tracking.read.links import Foreign
from engine.tracking.write.journal import Journal

SAY_EVERY_S = 15.0
SECONDS_A_CALL = 0.4
"""What a Salesforce call takes as a rule of thumb, four side by side; from no measurement of a live org."""


@dataclass(frozen=True, slots=True)
class LinkRules:
    """What the settings say of switches and rollbacks."""

    waves: Sequence[int | str]
    accepted: Sequence[str]
    limits: DriftLimits
    policy: ChangePolicy
    drain_s: float
    object_and_field: tuple[str, str]
    network: NetworkSettings

    @classmethod
    def of(cls, settings: Settings, *, strict: bool, undo: bool = False) -> LinkRules:
        wanted, switch, org = settings.migration, settings.switch, settings.salesforce
        return cls(
            switch.waves,
            switch.accept_proof,
            DriftLimits(switch.max_drift, wanted.error_budget),
            ChangePolicy(
                undo, strict, wanted.max_attempts, wanted.concurrency, wanted.batch_size, switch.settle_after_s
            ),
            wanted.drain_seconds,
            (org.object, org.url_field),
            settings.network,
        )


@dataclass(slots=True)
class LinkProgress:
    """How far a run has come, whatever ends it."""

    total: Counts = field(default_factory=Counts)
    waves: list[dict[str, Any]] = field(default_factory=list)
    unseen_s: float = 0.0
    """The longest between reading a link and the answer to its write; 0: nothing was written, or all of it strictly."""
    rewritten: Rewritten | None = None
    """The first record where the org has changed what was written."""
    edited_behind: Rewritten | None = None
    """The first that another user has changed right behind our write."""
    open: int = 0
    """Changes with an unknown end; the next start reads them first."""
    waived: int = 0
    """Of the failures, those of waived records."""
    left_out: int = 0
    """Lines of the plan that flags or test settings did not let through."""
    foreign: Foreign = field(default_factory=Foreign)
    """Records left alone, because the link in their row is not made of its key."""

    def learn(self, slices: Slices) -> None:
        """What became of the links that were written."""
        self.unseen_s = slices.unseen_s
        self.rewritten, self.edited_behind = slices.endings.rewritten, slices.endings.edited_behind


def start_of(
    kind: str,
    settings: Settings,
    flags: RunFlags,
    screen: Screen,
    clock: Clock,
    consent: Consent,
    *,
    may_create: bool = False,
) -> Start:
    """Raises Usage where flags ask for more than the settings allow, or nobody could say yes to the writing."""
    bounds = bounds_of(
        settings.migration, account=flags.account, limit=flags.limit, dry_run=flags.dry_run, writing="--execute"
    )
    if not bounds.dry_run:
        consent.must_be_possible()
    return Start(
        kind=kind,
        settings=settings,
        screen=screen,
        clock=clock,
        command=Command(f"run {kind} {'--dry-run' if bounds.dry_run else '--execute'}"),
        bounds=bounds,
        max_duration_s=flags.max_duration_s,
        may_create=may_create,
        untouched="Nothing was written to Salesforce.",
    )


def check_updateable(shape: ObjectShape) -> None:
    """Raises Blocked where this login may not change the links."""
    if not shape.url_updateable:
        raise Blocked(
            f"this user may not edit {shape.name}.{shape.url_field}",
            hint="Give the integration user edit access to that field (field-level security).",
        )


async def evidence_for(run: Run, *, lost: bool = False) -> Evidence:
    """The journal's evidence, checked; what it notes goes into the run's notes. Raises Differs, Blocked."""
    evidence = await gather_evidence(run.services, lost=lost)
    if not run.services.off_box:
        run.notes.append(ALONE)
    run.notes += evidence.notes
    evidence.notes = run.notes
    return evidence


async def foresee(run: Run) -> list[Advice]:
    """What a dry run says of the journal: why a run that writes would be refused."""
    notes: list[Advice] = [] if run.services.off_box else [ALONE]
    if await has_journal(run.services):
        try:
            notes += (await gather_evidence(run.services)).notes
        except (Blocked, Differs) as error:
            notes.append((f"--execute would be refused: {error}. ", error.hint))
    return notes


async def begin_journal(run: Run, evidence: Evidence, org: str) -> Journal:
    """The journal of this run, once the links that earlier runs left in doubt are read. Raises Fatal."""
    assert run.id is not None, "a dry run keeps no journal"
    begun = evidence.begin(run.id, org)
    journal = await unless_stopped(begun, run.stop, safe=UNSETTLED, hint="")
    if found := await unless_stopped(evidence.settle(journal), run.stop, safe=UNSETTLED, hint=""):
        run.note(found)
    return journal


async def settle_late(run: Run, evidence: Evidence, journal: Journal) -> bool:
    """Wait for Salesforce to finish with what earlier runs left in doubt, and read it. Returns whether it is all known
    by now. Raises Fatal."""
    try:
        await unless_cut(evidence.settle_late(journal, run.stop, run.screen.say), run.stop)
    except CutShort:
        await journal.flush()
    return not evidence.doubtful


async def still_open(run: Run, evidence: Evidence) -> int:
    """Changes of this run and of earlier ones that nobody knows the end of; noted, with when they can be known."""
    assert run.id is not None
    count, at = await run.services.ledger.database.read(open_changes(run.id))
    until, time = evidence.until, run.services.salesforce.session.time
    if count:
        until = max(until, deadline(at, run.services.settle_after_s, time.earliest()))
    if count := count + len(evidence.doubtful):
        run.note(in_doubt(count, time.here(until)))
    return count


async def excuse(run: Run, progress: LinkProgress, failures: int) -> None:
    """Find out which of the failures are of waived records; noted."""
    if not failures or run.id is None:
        return
    progress.waived = await run.services.ledger.database.read(partial(waived.failed, run_id=run.id))
    if progress.waived:
        run.note(waived.note(progress.waived))


class LinkWriter:
    """Changes links. ``on_counts`` as for ``Slices``."""

    def __init__(
        self, run: Run, steps: Steps, rules: LinkRules, on_counts: Callable[[Counts], None] = lambda _counts: None
    ) -> None:
        services = run.services
        self._run = run
        self._steps = steps
        self._drain_s = rules.drain_s
        self.slices = Slices(services.salesforce.links, steps, services.clock, rules.policy, on_counts)
        self._changing = Changing(self.slices, run.stop, run.screen.say)

    async def write(self, windows: AsyncIterator[Sequence[Change]]) -> None:
        """Until all is changed, or the drain after a stop is over. Raises Fatal; the journal knows what is open."""
        run = self._run
        try:
            await unless_cut(self._changing.run(windows), run.stop, lambda: run.services.clock.sleep(self._drain_s))
        except CutShort:
            run.note("writes in flight did not end in time and were cut off; the next start reads their records first")
            await self._steps.flush()


async def say_progress(run: Run, line: Callable[[], str]) -> None:
    """Say a line every 15 seconds, until cancelled."""
    while not run.screen.quiet:
        await run.services.clock.sleep(SAY_EVERY_S)
        run.screen.say(line())
