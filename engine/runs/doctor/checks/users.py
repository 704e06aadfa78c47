"""Can users open the new links? They are opened as a user would: a plain GET, no credentials, no redirects."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from engine.limiting.clock import Clock
from engine.model.command import Command
from engine.model.text import bare_urls
from engine.runs.doctor.checks.finding import Finding, Level, ok, unknown
from engine.s3.api.bucket_setup import BucketSetup
from engine.web.as_user import seen_by_user
from engine.web.client import WebClient


async def open_links(client: WebClient, urls: Sequence[str], clock: Clock, *, grave: bool) -> Finding:
    """Open each. ``grave``: links that do not open are blockers; otherwise a warning, since a backup needs none."""
    if not urls:
        return unknown(
            "user_links",
            "there is no copy yet whose link could be opened",
            ("after a first backup (", Command("run backup --full --limit 10"), ") start doctor again"),
        )
    answers: Counter[str] = Counter()
    for url in urls:
        seen = await seen_by_user(client, url, clock)
        answers[str(seen.status or seen.failure)] += 1
    opened = answers.pop("200", 0)
    text = f"{opened} of {len(urls)} new links open without credentials"
    if opened == len(urls):
        return ok("user_links", text)
    why = ", ".join(f"{name} {count}" for name, count in answers.most_common())
    level = Level.BLOCK if grave else Level.WARN
    return Finding("user_links", level, f"{text}; the others: {why}; such as {bare_urls(urls[0])}", _fix(set(answers)))


async def policies(setup: BucketSetup, *, opened: bool) -> Finding:
    """The facts behind it: public access block, public policy, CORS."""
    block, policy, cors = await asyncio.gather(setup.public_access_block(), setup.public_policy(), setup.cors())
    parts = [
        f"public access block: {_words(block.value) if block.known else f'not readable ({block.why})'}",
        f"public policy: {'yes' if policy.value else 'no'}" if policy.known else f"policy: not readable ({policy.why})",
    ]
    if not cors.known:
        parts.append(f"CORS: not readable ({cors.why})")
    elif cors.value:
        parts.append(f"CORS rules: {len(cors.value)}")
    else:
        parts.append("no CORS rules (links open in a tab without them; scripts that fetch files need them)")
    text = "; ".join(parts)
    if policy.known and policy.value and opened:
        sure = "anybody who knows a link can read the file: make sure that this is what you want"
        return Finding("exposure", Level.WARN, text, sure)
    if block.known and policy.known:
        return ok("exposure", text)
    fix = ("grant the rights that ", Command("doctor --iam"), " lists, or check the bucket's settings")
    return unknown("exposure", text, fix)


def _fix(answers: set[str]) -> str:
    if answers & {"403", "401"}:
        return (
            "403: the bucket is private, as new buckets are, and users get the same answer. Choose how they will read"
            " files: through a CDN or a signing application (name it in destination.url_template), by a network"
            " condition in the bucket's policy, or from a public bucket. Then add the host to Salesforce's trusted URLs"
        )
    if "redirected" in answers:
        return "the new host redirects, perhaps to a login: open one in a browser, signed in as a user"
    if "404" in answers:
        return "the link names no object: destination.url_template does not fit the bucket"
    return "open one in a user's browser: their network may differ from this machine's"


def _words(blocks: list[str] | None) -> str:
    return "none" if not blocks else "all on" if len(blocks) == 4 else ", ".join(blocks)
