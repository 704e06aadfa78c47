"""The records: where their links lead, whether the files can be read, and how long the new links will be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from engine.limiting.retry import retry
from engine.model.command import Advice, Command
from engine.model.errors import EngineError, Fatal, Refused, Transient
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.outcome import Outcome
from engine.model.plan import Plan
from engine.model.ports import Source
from engine.model.record import ObjectShape, Scope
from engine.runs.doctor.checks.finding import Finding, block, ok, unknown, warn
from engine.runs.shared.assembly import Adapters
from engine.runs.shared.report import by_reason

TRIES = 3


@dataclass(slots=True)
class Walk:
    """What was found in the records."""

    records: int = 0
    whole: bool = False
    """All records were read."""
    longest: int = 0
    longest_record: str = ""
    too_long: int = 0
    failures: Counter[FailureClass] = field(default_factory=Counter)
    samples: dict[str, list[Plan]] = field(default_factory=dict)
    """A few plans per source bucket; ``""``: plain http."""


async def walk(adapters: Adapters, shape: ObjectShape, scope: Scope, *, limit: int, samples: int) -> Walk:
    """Plan up to ``limit`` records without doing anything. Raises Fatal, Transient."""
    found = Walk()
    planner = adapters.planner(shape, scope.account_id)
    async for page in adapters.salesforce.pages.pages(scope):
        for record in page.records:
            found.records += 1
            decision = planner.plan(record, None, 0)
            if isinstance(decision, Plan):
                if len(decision.url) > found.longest:
                    found.longest, found.longest_record = len(decision.url), record.id
                kept = found.samples.setdefault(decision.source.bucket, [])
                if len(kept) < samples:
                    kept.append(decision)
            elif isinstance(decision, Outcome) and decision.failure is not None:
                found.failures[decision.failure] += 1
                found.too_long += decision.failure is FailureClass.URL_TOO_LONG
        if found.records >= limit:
            return found
    found.whole = True
    return found


def new_links(found: Walk, shape: ObjectShape, known_longest: int) -> Finding:
    """The longest future link against the field. ``known_longest``: of the copies in the tracking DB."""
    longest = max(found.longest, known_longest)
    looked = f"{'all' if found.whole else 'the first'} {found.records:,} records and every copy in the tracking DB"
    what = f"the longest new link has {longest:,} characters ({looked}); the field takes {shape.url_length:,}"
    if found.too_long or longest > shape.url_length:
        fix = "shorten destination.key_template or url_template, for instance without {account_id} or {file_name}"
        return block("new_links", f"{what}; {found.too_long:,} do not fit", fix)
    if not found.records:
        return unknown(
            "new_links",
            "no record to make a link from",
            "if there should be some, check salesforce.where and source.buckets",
        )
    return ok("new_links", what)


def links_today(found: Walk) -> Finding:
    """What the records' links are like."""
    if not found.failures:
        return ok("links", f"the links of all {found.records:,} records name files that may be read")
    hosts = FailureClass.HOST_NOT_ALLOWED in found.failures
    pretend = Command("run backup --full --dry-run")
    fix: Advice = "add the hosts that you trust to source.allowed_hosts" if hosts else pretend
    return warn("links", f"some of {found.records:,} records will not be copied: {by_reason(found.failures)}", fix)


async def readable(adapters: Adapters, found: Walk) -> list[Finding]:
    """Whether a sample of the files can be read, by the way that a backup would take. One Finding per source."""
    findings = []
    for bucket, plans in found.samples.items():
        where = f"s3://{bucket}" if bucket else "plain http"
        try:
            route = await adapters.probe(bucket, [plan.source for plan in plans])
        except EngineError as error:
            findings.append(block("source", f"{where} cannot be read: {error}", _hint(error)))
            continue
        failures: Counter[str] = Counter()
        read = 0
        for plan in plans:
            try:
                at = await _located(adapters, plan, by_link=not bucket or route.method == "http")
                await _first_bytes(adapters, route.source, at)
                read += 1
            except (Refused, Transient) as error:
                failures[error.failure.value] += 1
        text = f"{where}: {route.method} ({route.why}); {read} of {len(plans)} sample files were read"
        why = by_reason(failures)
        if read == len(plans):
            findings.append(ok("source", text))
        elif read:
            findings.append(warn("source", f"{text}; {why}", "such files will fail, with this class"))
        else:
            rights = ("; ", Command("doctor --iam"), " lists the rights")
            fix = ("check the source section: credentials, region, endpoint_url", rights)
            findings.append(block("source", f"{text}; {why}", fix))
    return findings


async def _located(adapters: Adapters, plan: Plan, *, by_link: bool) -> Location:
    return await adapters.resolver.resolve(plan.record) if by_link and adapters.resolver is not None else plan.source


async def _first_bytes(adapters: Adapters, source: Source, at: Location) -> None:
    """Open it and take the first bytes: a HEAD may be allowed where a GET is not."""

    async def once() -> None:
        async with source.open(at, None) as stream:
            async for _ in stream.chunks():
                return

    await retry(once, clock=adapters.clock, attempts=TRIES)


def _hint(error: EngineError) -> Advice:
    return (error.hint if isinstance(error, Fatal) else "") or "check the source section of the settings"
