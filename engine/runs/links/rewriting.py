"""What becomes of links right behind our writes: an example, and what administrators built that may do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from engine.model.errors import EngineError
from engine.model.text import bare_urls, printable
from engine.pipeline.link_endings import Rewritten
from engine.runs.links.link_run import LinkProgress
from engine.runs.shared.lifecycle import Run
from engine.salesforce import automation

_NAMES = 8


async def note_rewriting(run: Run, progress: LinkProgress, object_name: str) -> None:
    """Note it for the report, where there was any. Raises nothing but what ends the process."""
    if (first := progress.rewritten) is not None:
        run.note(f"for example {_told(first)}")
        run.note(f"what may change links of {object_name}: {await _built(run, object_name)}")
    if (first := progress.edited_behind) is not None:
        us = ""
        with suppress(EngineError):
            us = await run.services.salesforce.session.user()
        who = f"user {first.by}, not {us}" if us else f"user {first.by}; the org does not say which user this login is"
        run.note(
            f"changed right behind our write ({who}): for example {_told(first)}; counted as an edit, and left alone"
            " (automation that runs as another user looks the same)"
        )


def _told(first: Rewritten) -> str:
    # what is ours holds no signature; what others put there may
    found = first.found if first.found.lower().startswith(first.wrote.lower()) else bare_urls(first.found)
    return f"{first.id}: written {printable(first.wrote)}, found {printable(found) or 'nothing'}"


async def _built(run: Run, object_name: str) -> str:
    session = run.services.salesforce.session

    async def flows() -> list[str]:
        return (await automation.flows(session, object_name))[0]

    async def triggers() -> list[str]:
        return await automation.triggers(session, object_name)

    kinds: list[tuple[str, Callable[[], Awaitable[list[str]]]]] = [("triggers", triggers), ("flows", flows)]
    told = []
    for kind, ask in kinds:
        try:
            names = [printable(name) for name in await ask()]
        except EngineError as error:
            told.append(f"{kind} could not be read ({error})")
            continue
        if names:
            told.append(f"{kind} {', '.join(names[:_NAMES])}{' …' if len(names) > _NAMES else ''}")
    return "; ".join(told) or "no trigger or flow that this login can see"
