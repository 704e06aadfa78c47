"""What the shell offers at Tab."""

from collections.abc import Callable
from typing import Any

import typer

Completes = Callable[[typer.Context, str], list[tuple[str, str]]]


def offered(name: str) -> Completes:
    """Completes with the offers of that name, imported only when a shell asks."""

    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        from engine.commands.frame import settings_for
        from engine.runs.status import offers

        ask: Any = getattr(offers, name)
        found: list[tuple[str, str]] = ask(lambda: settings_for(ctx), incomplete)
        return found

    return complete
