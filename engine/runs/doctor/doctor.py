"""``engine doctor``: checks what a run needs, before it starts. Each finding says how to fix it.

Salesforce, the source and the tracking DB are only read. A small object is written to our bucket under ``.engine/``,
copied there, and deleted. No failed check stops the others; what cannot be checked is reported as unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.limiting.clock import Clock, SystemClock, iso
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, EngineError, Fatal
from engine.model.record import ObjectShape, Scope
from engine.model.text import printable
from engine.runs.doctor.checks import bucket, machine, org, sources, users
from engine.runs.doctor.checks.finding import Finding, Level, block, unknown
from engine.runs.shared.assembly import Adapters, open_adapters, open_as_user
from engine.runs.shared.bounds import Bounds, bounds_of
from engine.runs.shared.command import to_type
from engine.runs.shared.preflight import check_org
from engine.s3.api.answers import StoreError
from engine.s3.transfer.conditions import Conditional
from engine.salesforce.connection import Salesforce
from engine.salesforce.shape import Organization
from engine.settings import NetworkSettings, Settings
from engine.tracking.read.report import open_report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Purpose = Literal["backup", "switch"]

_MARKS = {Level.OK: "ok", Level.WARN: "warn", Level.BLOCK: "BLOCK", Level.UNKNOWN: "?"}
_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.BLOCK: "bold red", Level.UNKNOWN: "cyan"}
_FOR_A_SWITCH = frozenset({"url_field", "journal_rules"})
"""Checks whose warnings block a switch."""


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """``scan``: records whose new links are measured; ``samples``: files that are read, and links that are opened."""

    settings_file: Path
    purpose: Purpose = "backup"
    scan: int = 10_000
    samples: int = 5


@dataclass(slots=True)
class Diagnosis:
    """All findings."""

    purpose: Purpose
    at: str
    org_id: str | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 4 if any(each.level is Level.BLOCK for each in self.findings) else 0

    @property
    def next_steps(self) -> Sequence[Advice]:
        if self.exit_code:
            again = Command(f"doctor --for {self.purpose}")
            return [(again, "   once what blocks is mended")]
        if self.purpose == "switch":
            return [(Command("run switch --dry-run"), "   writes a plan: every old and new link")]
        return [
            (Command("analyze"), "   says what a backup would meet, and how long it takes"),
            (Command("run backup --full"), "   copies every file"),
        ]

    def as_json(self) -> dict[str, Any]:
        counts = Counter(each.level for each in self.findings)
        return {
            "purpose": self.purpose,
            "org_id": self.org_id,
            "at": self.at,
            "counts": {level.value: counts[level] for level in Level},
            "findings": [
                {"check": each.check, "level": each.level.value, "what": each.what, "fix": to_type(each.fix)}
                for each in self.findings
            ],
        }


@dataclass(frozen=True, slots=True)
class Known:
    """What the tracking DB knows of copies; nothing where there is none yet."""

    longest: int = 0
    links: tuple[str, ...] = ()


async def diagnose(settings: Settings, options: DoctorOptions, clock: Clock | None = None) -> Diagnosis:
    """Check everything. Raises Fatal only where the settings do not even allow a connection to be opened."""
    clock = clock or SystemClock()
    diagnosis = Diagnosis(options.purpose, iso(clock.now()))
    diagnosis.findings += machine.permissions(settings, options.settings_file)
    diagnosis.findings.append(machine.enough_open_files(settings))
    bounds = bounds_of(settings.migration)
    known, finding = _from_database(settings, bounds, options.samples)
    if finding is not None:
        diagnosis.findings.append(finding)
    async with open_adapters(settings, clock, transport="fast") as adapters:
        async for found in _outside(diagnosis, adapters, settings, bounds, options, known):
            diagnosis.findings.append(_graded(found, options.purpose))
    return diagnosis


def _graded(found: Finding, purpose: Purpose) -> Finding:
    if purpose == "switch" and found.check in _FOR_A_SWITCH and found.level is Level.WARN:
        return block(found.check, found.what, found.fix)
    return found


async def _outside(
    diagnosis: Diagnosis, adapters: Adapters, settings: Settings, bounds: Bounds, options: DoctorOptions, known: Known
) -> AsyncIterator[Finding]:
    scope = Scope(account_id=bounds.account_id)
    organization, shape, count, findings = await look_at_org(adapters.salesforce, adapters.clock, settings, scope)
    diagnosis.org_id = None if organization is None else organization.id
    for found in findings:
        yield found
    if count is not None:
        yield machine.disk(settings, count)
    if shape is not None:
        for found in await look_at_records(adapters, shape, scope, options, known):
            yield found
    for found in bucket.storage_class(adapters.ours.storage_class, grave=options.purpose == "switch"):
        yield found
    if bounds.dry_run:
        yield await _unprobed(adapters)
    else:
        for found in await _bucket(adapters, settings, options, known):
            yield found


async def look_at_org(
    salesforce: Salesforce, clock: Clock, settings: Settings, scope: Scope
) -> tuple[Organization | None, ObjectShape | None, int | None, list[Finding]]:
    """Log in and look around: the org, the object's shape and the count of records, where they could be learned."""
    findings = org.refresh_token(settings)
    try:
        organization, shape = await check_org(salesforce, scope)
    except Fatal as error:
        return None, None, None, [*findings, block("login", str(error), error.hint)]
    findings += [org.login(organization, settings.salesforce.org_id), org.url_field(shape)]
    try:
        count, found = await org.records(salesforce, scope)
        findings += [found, org.quota(salesforce, count, settings.salesforce.api_budget)]
        findings += await org.automation_of(salesforce, shape.name)
        asked = clock.now()
        theirs = await salesforce.server_now()
        # what the last answer said may be older than the question, by no more than a call takes
        skew = (theirs - asked).total_seconds()
        findings.append(machine.clock_skew("clock_salesforce", "Salesforce", skew))
    except EngineError as error:
        findings.append(_unanswered("salesforce", error))
        count = None
    return organization, shape, count, findings


async def look_at_records(
    adapters: Adapters, shape: ObjectShape, scope: Scope, options: DoctorOptions, known: Known
) -> list[Finding]:
    """Links today and after a switch, and whether some of their files can be read."""
    try:
        walk = await sources.walk(adapters, shape, scope, limit=options.scan, samples=options.samples)
        return [
            sources.links_today(walk),
            sources.new_links(walk, shape, known.longest),
            *await sources.readable(adapters, walk),
        ]
    except EngineError as error:
        return [_unanswered("source", error)]


async def _bucket(adapters: Adapters, settings: Settings, options: DoctorOptions, known: Known) -> list[Finding]:
    key = bucket.probe_key(adapters.clock)
    written = await bucket.write_and_read(adapters, key)
    findings = [written]
    if written.level is not Level.OK:
        return findings
    findings.append(await _s3_clock(adapters))
    destination = adapters.s3.destination
    findings.append(await bucket.never_overwrites(destination, key))
    ignored = destination.copies.verdict is Conditional.IGNORED
    off_box = settings.switch.off_box == "always"
    findings += await bucket.set_up(adapters.s3.bucket_setup, copies_ignore=ignored, off_box=off_box)
    urls = list(known.links) or [_link(adapters, key)]
    links = await _open_links(adapters, settings.network, urls, grave=options.purpose == "switch")
    findings.append(links)
    findings.append(await users.policies(adapters.s3.bucket_setup, opened=links.level is Level.OK))
    findings.append(await bucket.remove_probe(adapters, key))
    return findings


async def _unprobed(adapters: Adapters) -> Finding:
    """The destination without a write."""
    try:
        await adapters.s3.destination.check()
    except EngineError as error:
        return block("destination", str(error), error.hint if isinstance(error, Fatal) else "check the bucket")
    what = "the bucket exists; nothing was written and no link was opened, because migration.dry_run is on"
    return unknown("destination", what, "turn migration.dry_run off for a full check: doctor writes one small object")


def _link(adapters: Adapters, key: str) -> str:
    return adapters.locate(key).url


async def _open_links(adapters: Adapters, network: NetworkSettings, urls: Sequence[str], *, grave: bool) -> Finding:
    try:
        async with open_as_user(network, urls) as client:
            return await users.open_links(client, urls, adapters.clock, grave=grave)
    except EngineError as error:
        return block("user_links", f"the new links name no valid host: {error}", "check destination.url_template")


async def _s3_clock(adapters: Adapters) -> Finding:
    bucket = adapters.s3.destination.bucket
    try:
        answer = await bucket.client.head_bucket(bucket.name, bucket.always)
        theirs = parsedate_to_datetime(answer.fields["date"])
    except (StoreError, KeyError, ValueError):
        return machine.clock_skew("clock_s3", "the S3 service", None)
    return machine.clock_skew("clock_s3", "the S3 service", (theirs - adapters.clock.now()).total_seconds())


def _from_database(settings: Settings, bounds: Bounds, samples: int) -> tuple[Known, Finding | None]:
    if not settings.tracking.database.exists():
        return Known(), None
    try:
        with open_report(settings.tracking.database) as report:
            template, keys = settings.destination.link_template, report.keys(samples, bounds.account_id)
            return Known(report.longest_link(), tuple(template.url(key) for key in keys)), None
    except Blocked as error:
        return Known(), unknown("database", str(error), error.hint)


def _unanswered(check: str, error: EngineError) -> Finding:
    return unknown(check, str(error), error.hint if isinstance(error, Fatal) else "start the same command again")


def show_diagnosis(found: Diagnosis, console: Console) -> None:
    """The same as a table, the worst last."""
    console.print(table_of(found.findings))
    counts = Counter(each.level for each in found.findings)
    blockers = counts[Level.BLOCK]
    verdict = f"{blockers} blocker{'s' if blockers != 1 else ''}: fix these first" if blockers else "nothing blocks"
    console.print(
        f"For a {found.purpose}: {verdict}. {counts[Level.WARN]} warnings, {counts[Level.UNKNOWN]} unknown, "
        f"{counts[Level.OK]} ok.",
        markup=False,
    )


def table_of(findings: Sequence[Finding]) -> Table:
    """Findings with what mends them, the worst last."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    order = [Level.OK, Level.UNKNOWN, Level.WARN, Level.BLOCK]
    for each in sorted(findings, key=lambda each: order.index(each.level)):
        table.add_row(
            Text(_MARKS[each.level], style=_COLOURS[each.level]), Text(each.check), Text(printable(each.what))
        )
        if each.fix and each.level is not Level.OK:
            table.add_row("", "", Text(f"→ {printable(to_type(each.fix))}", style="dim"))
    return table
