"""One plan → one Outcome. Here, and nowhere else, a record's errors become its row."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog

from engine.limiting.clock import iso
from engine.limiting.retry import Retries
from engine.model.errors import EngineError, OwnCopy, Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import SKIP_CLASSES, FailureClass
from engine.model.outcome import Attempt, Duplicate, Looked, Outcome, Status
from engine.model.plan import Look, Plan, Work
from engine.model.record import Record
from engine.pipeline.allowance import Allowance
from engine.pipeline.copying import Copying
from engine.pipeline.duplicates import DuplicateSources
from engine.pipeline.ends import Ends
from engine.pipeline.one_try import Copied, Memory
from engine.pipeline.planning import Planner
from engine.pipeline.routes import Routes
from engine.pipeline.source_ids import VendorLinks

log = structlog.get_logger()


class Transfer:
    """Copies with retries, shares one reading among duplicates, and never raises for a single record's sake."""

    def __init__(
        self,
        copying: Copying,
        planner: Planner,
        routes: Routes,
        ends: Ends,
        retries: Retries,
        *,
        allowance: Allowance,
        links: VendorLinks | None = None,
        duplicates: DuplicateSources | None = None,
    ) -> None:
        """``links`` are asked for what is planned so."""
        self._copying = copying
        self._planner = planner
        self._routes = routes
        self._ends = ends
        self._retries = retries
        self._clock = retries.clock
        self._allowance = allowance
        self._links = links
        self._duplicates = duplicates or DuplicateSources()

    def run(self, work: Work) -> Coroutine[Any, Any, Outcome | Looked]:
        """Bring one record to its end. Raises Fatal (the run stops), and cancellation, nothing else."""
        return self._copy(work) if isinstance(work, Plan) else self._look(work)

    async def _look(self, look: Look) -> Outcome | Looked:
        """Ask what the source of a copy is by now, and copy it where it is no longer what it was."""
        try:
            found = await self._found(look)
        except (Refused, Transient) as error:
            return look.stands(error.failure.value, str(error))
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001 - as below
            return look.stands(FailureClass.INTERNAL.value, _tell_bug(look, error))
        decision = self._planner.looked(look, found)
        if not isinstance(decision, Plan):
            assert isinstance(decision, Outcome | Looked), "a look settles it"
            return decision
        if not self._allowance.take_one():
            return self._left_for_later(decision)
        return await self._copy(decision)

    async def _found(self, look: Look) -> ObjectFacts:
        """What the source is by now; one that several records name is asked once."""
        duplicates, source = self._duplicates, look.source_id
        while (found := duplicates.facts(source)) is None:
            if (failure := duplicates.failure(source)) is not None:
                raise failure
            if (leader := duplicates.leader(source)) is None:
                duplicates.lead(source)
                try:
                    return await self._ask(look)
                finally:
                    duplicates.settle(source)
            await asyncio.shield(leader)
        return found

    async def _ask(self, look: Look) -> ObjectFacts:
        async def once() -> ObjectFacts:
            if look.by_link:
                return await self._seen_by_link(look.record)
            return await self._routes.by(look.source, lambda route, place: route.source.look(place))

        async def between(_number: int, _error: Transient) -> None:
            self._ends.tally.retries += 1

        try:
            found = await self._retries.patiently(once, between)
        except (Refused, Transient) as error:
            self._duplicates.failed(look.source_id, error, look.record.id, of_source=True)
            raise
        self._duplicates.looked(look.source_id, found)
        return found

    async def _seen_by_link(self, record: Record) -> ObjectFacts:
        assert self._links is not None, "who plans by links has them"
        return await self._links.route.source.look(await self._links.resolve(record))

    def leader(self, work: Work) -> asyncio.Future[None] | None:
        """Ends when the record that is asking the same source has done; None: nobody is, this one may be brought on."""
        return self._duplicates.leader(work.source_id)

    async def _behind_duplicate(self, plan: Plan) -> Outcome | None:
        """Wait for whoever asks the same source now, and share its failure; None: there is none, or there is a copy."""
        duplicates, source = self._duplicates, plan.source_id
        while duplicates.copy(source) is None:
            if (failure := duplicates.failure(source)) is not None:
                return self._failed(plan, failure, tries=0)
            if (leader := duplicates.leader(source)) is None:
                return None
            # shielded: a record that is cut short must not take the one it waits for with it
            await asyncio.shield(leader)
        return None

    async def _copy(self, plan: Plan) -> Outcome:
        leads = True
        if self._duplicates.met(plan.source_id):
            if (settled := await self._behind_duplicate(plan)) is not None:
                return settled
            leads = self._duplicates.copy(plan.source_id) is None
        if leads:
            self._duplicates.lead(plan.source_id)
        memory = Memory(plan.pinned, plan.key)
        try:
            try:
                copied = await self._once(plan, memory)
            except Transient as error:
                copied = await self._again(plan, memory, error)
            url = plan.url if copied.key == plan.key else self._link_to(copied.key)
            outcome = self._backed_up(plan, copied, url, memory.tries)
            self._duplicates.copied(plan.source_id, outcome)
            return outcome
        except (Refused, Transient) as error:
            if not isinstance(error, OwnCopy):
                self._duplicates.failed(plan.source_id, error, plan.record.id, of_source=not memory.answered)
            return self._failed(plan, error, tries=memory.tries, bad_etag=memory.bad_etag, key=memory.key)
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd record must not stop a million others
            return self._failed(plan, Refused(FailureClass.INTERNAL, _tell_bug(plan, error)), tries=1)
        finally:
            if leads:
                self._duplicates.settle(plan.source_id)

    async def _again(self, plan: Plan, memory: Memory, failed: Transient) -> Copied:
        """Try on after a first try that failed. Raises Refused, or the last Transient."""

        async def between(number: int, error: Transient) -> None:
            if error.failure is FailureClass.SOURCE_CHANGED:
                memory.pinned, memory.doubted = None, True
            self._ends.attempt(
                Attempt(plan.record.id, error.failure, str(error), plan.source.shown, number, iso(self._clock.now()))
            )

        return await self._retries.patiently(lambda: self._once(plan, memory), between, failed)

    async def _once(self, plan: Plan, memory: Memory) -> Copied:
        memory.tries += 1
        memory.answered = False
        duplicate = self._duplicates.copy(plan.source_id)
        fresh = duplicate is not None
        duplicate = duplicate or plan.duplicate
        if (
            duplicate is not None
            and duplicate.record_id != plan.record.id
            and (fresh or await self._stands(plan, duplicate))
        ):
            memory.answered = True
            copied = await self._copying.copy_duplicate(plan, duplicate, memory)
            if copied is not None:
                return copied
            memory.answered = False
        if plan.by_link:
            assert self._links is not None, "who plans by links has them"
            renew = partial(self._links.resolve, plan.record)
            return await self._copying.copy(plan, await renew(), self._links.route, memory, renew)
        route = self._routes.of(plan.source)
        if (
            route.settled
            and memory.tries == 1
            and (copying := self._copying.quick(plan, memory, route.method)) is not None
            and (quickly := await copying) is not None
        ):
            return quickly
        return await self._routes.by(plan.source, lambda route, place: self._copying.copy(plan, place, route, memory))

    async def _stands(self, plan: Plan, duplicate: Duplicate) -> bool:
        """Whether the source still is what an earlier run's duplicate was copied from."""
        if not duplicate.source_etag:
            return False
        if (facts := plan.pinned) is None:
            if plan.by_link:
                facts = await self._seen_by_link(plan.record)
            else:
                facts = await self._routes.by(plan.source, lambda route, place: route.source.facts(place))
        return facts.etag == duplicate.source_etag and facts.size == duplicate.size

    def _link_to(self, key: str) -> str:
        """The link to a copy that went to another key than planned. Raises Refused where the field does not take it."""
        url = self._planner.places.url_of(key)
        if not self._planner.places.fits(url):
            raise Refused(FailureClass.URL_TOO_LONG, "the new link is longer than the field; shorten key_template")
        return url

    def _backed_up(self, plan: Plan, copied: Copied, url: str, tries: int) -> Outcome:
        sha256 = strongest = ""
        if copied.computed or copied.copy.checksums or copied.source.checksums:
            sha256 = (
                dict(copied.computed).get("sha256")
                or copied.source.checksum("sha256")
                or copied.copy.checksum("sha256")
                or ""
            )
            strongest = f"sha256:{sha256}" if sha256 else next((f"{a}:{v}" for a, v in copied.copy.checksums), "")
        return Outcome(
            record=plan.record,
            status=Status.BACKED_UP,
            key=copied.key,
            url=url,
            file_name=plan.file_name,
            source_id=plan.source_id,
            size=copied.source.size if copied.source.size is not None else copied.copy.size,
            method=copied.method,
            source_etag=copied.source.etag,
            destination_etag=copied.copy.etag,
            checksum=strongest,
            sha256=sha256,
            proof=copied.proof,
            attempts=tries,
            read_bytes=copied.read_bytes,
            is_new=plan.known is None,
            page=plan.page,
        )

    def _left_for_later(self, plan: Plan) -> Outcome:
        return Outcome(
            plan.record,
            Status.PENDING,
            FailureClass.SOURCE_CHANGED,
            "the source has changed since it was copied; the limit of this run was reached",
            file_name=plan.file_name,
            at=iso(self._clock.now()),
            page=plan.page,
        )

    def _failed(
        self, plan: Plan, error: Refused | Transient, *, tries: int, bad_etag: str | None = None, key: str = ""
    ) -> Outcome:
        return Outcome(
            record=plan.record,
            status=Status.SKIPPED if error.failure in SKIP_CLASSES else Status.FAILED,
            failure=error.failure,
            message=str(error),
            key=key or plan.key,
            url=plan.url,
            file_name=plan.file_name,
            source_id=plan.source_id,
            destination_etag=bad_etag or "",
            attempts=tries,
            at=iso(self._clock.now()),
            is_new=plan.known is None,
            page=plan.page,
        )


def _tell_bug(work: Work, error: Exception) -> str:
    """Log an error that nobody foresaw; what the record's row says of it."""
    trace = "".join(traceback.format_exception(error))
    log.error("internal_error", quiet=True, record=work.record.id, trace=trace)
    return f"{type(error).__name__}: see the log"
