"""Salesforce: who answers, what may be read and written there, and what a change of the link would set off."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from engine.model.errors import Fatal, Paused, Transient
from engine.model.record import ObjectShape, Scope
from engine.model.text import printable
from engine.runs.doctor.checks.finding import Finding, block, ok, unknown, warn
from engine.salesforce import automation
from engine.salesforce.connection import Salesforce
from engine.salesforce.refresh_tokens import RefreshTokens
from engine.salesforce.shape import Organization
from engine.settings import Settings

PAGE, PATCH = 2000, 200
"""Records a call when reading, and when changing links."""

_LOOK = "check the org's API usage in Setup before a long run"


def login(found: Organization, pinned: str | None) -> Finding:
    """Which org the login leads to."""
    kind = {True: "a sandbox", False: "production", None: "production or sandbox: not readable"}[found.is_sandbox]
    what = f"logged in to {printable(found.name) or 'the org'} ({found.id}, {kind})"
    if pinned:
        return ok("login", what)
    return warn("login", f"{what}; no org is pinned", f"set salesforce.org_id: {found.id}")


def refresh_token(settings: Settings) -> list[Finding]:
    """Where a refresh token that the app rotates will be stored; nothing for other ways to log in."""
    if settings.salesforce.auth != "refresh_token":
        return []
    place = RefreshTokens("", settings.salesforce.refresh_token_file, settings.tracking.database).place
    if place is not None:
        return [ok("refresh_token", f"if the app rotates its refresh tokens, the newest one is stored in {place}")]
    return [
        warn(
            "refresh_token",
            "a new refresh token cannot be stored: if the app rotates its tokens, this login is the last that works",
            "make the folder of salesforce.refresh_token_file, or that of the tracking DB, writable for this user",
        )
    ]


def url_field(shape: ObjectShape) -> Finding:
    """Whether the link may be changed."""
    what = f"{shape.name}.{shape.url_field} takes {shape.url_length:,} characters"
    if shape.url_updateable:
        return ok("url_field", f"{what} and may be changed by this user")
    return warn(
        "url_field",
        f"{shape.name}.{shape.url_field} may not be changed by this user: a backup works, a switch will not",
        "give the integration user edit access to the object and the field (field-level security)",
    )


async def records(salesforce: Salesforce, scope: Scope) -> tuple[int | None, Finding]:
    """How many records are in scope; None: too many to count in one call."""
    try:
        count = await salesforce.pages.count(scope)
    except Paused as error:
        return None, unknown(
            "records",
            f"the records could not be counted: {error}",
            "start the same command again; if it stays so, try a simpler salesforce.where",
        )
    if not count:
        fix = "check salesforce.object, salesforce.where and what the integration user may see"
        return 0, warn("records", "no record is in scope", fix)
    return count, ok("records", f"{count:,} records are in scope")


def quota(salesforce: Salesforce, count: int | None, budget: float) -> Finding:
    """Whether a scan and a switch of so many records fit into what is left of the day."""
    limits = salesforce.limits
    if limits is None:
        return unknown("api_quota", "the org does not report its API usage", _LOOK)
    left = max(0, int(limits.allowed * budget) - limits.used)
    what = f"{limits.used:,} of {limits.allowed:,} daily API calls are used; api_budget {budget:.0%} leaves {left:,}"
    if count is None:
        return unknown("api_quota", what, _LOOK)
    scan = math.ceil(count / PAGE) + 1
    # read again, change, and read once more what is in doubt
    switch = math.ceil(count / PAGE) * 2 + math.ceil(count / PATCH)
    what += f"; a full scan takes {scan:,}, a switch of all about {switch:,}"
    if left < scan:
        return block("api_quota", what, "wait until older calls are 24 hours old, or raise salesforce.api_budget")
    if left < switch:
        return warn(
            "api_quota",
            what,
            "the switch will stop at the budget and can go on the next day; or raise salesforce.api_budget",
        )
    return ok("api_quota", what)


async def automation_of(salesforce: Salesforce, object_name: str) -> list[Finding]:
    """Triggers, validation rules and flows that a switch would set off, one Finding each kind."""
    session = salesforce.session

    async def flows() -> list[str]:
        found, left_out = await automation.flows(session, object_name)
        return [*found, f"and {left_out} more active flows that were not checked"] if left_out else found

    kinds: list[tuple[str, str, str, Callable[[], Awaitable[list[str]]]]] = [
        (
            "triggers",
            "Apex triggers run on every update",
            "try one record first (switch.waves); ask for a bypass if they are slow or call other systems",
            lambda: automation.triggers(session, object_name),
        ),
        (
            "validation_rules",
            "validation rules may reject an update, even of the link alone",
            "records that break a rule today fail with its message; ask for a bypass for the integration user",
            lambda: automation.validation_rules(session, object_name),
        ),
        (
            "flows",
            "flows and processes start on every update",
            "try one record first (switch.waves); a rollback does not undo emails and tasks that they create",
            flows,
        ),
    ]
    findings = []
    for check, meaning, fix, ask in kinds:
        try:
            names = await ask()
        except (Fatal, Transient) as error:
            rights = "ask an administrator, or give this user 'View Setup and Configuration'"
            findings.append(unknown(check, f"{check.replace('_', ' ')} cannot be read: {error}", rights))
            continue
        if names:
            shown = ", ".join(printable(name) for name in names[:8]) + (" …" if len(names) > 8 else "")
            findings.append(warn(check, f"{len(names)} {meaning}: {shown}", fix))
        else:
            findings.append(ok(check, f"no {check.replace('_', ' ')} act on updates of {object_name}"))
    return findings
