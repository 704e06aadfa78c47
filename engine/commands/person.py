"""Questions to the person at the terminal, one line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from engine.commands.frame import stdout


@contextmanager
def _ending() -> Iterator[None]:
    """Without an answer the command ends: with 130 for Ctrl-C, and 2 where nobody is there."""
    try:
        yield
    except typer.Abort:
        typer.echo("\nengine: not every question was answered; nothing was written", err=True)
        raise typer.Exit(130 if sys.stdin.isatty() else 2) from None


class AtTheTerminal:
    """Prompts on the terminal."""

    def __init__(self) -> None:
        self._console = stdout()

    def ask(self, text: str, default: str, *, secret: bool) -> str:
        """What was typed; ``default`` for nothing."""
        shown = bool(default) and not secret
        with _ending():
            answer: str = typer.prompt(text, default=default, show_default=shown, hide_input=secret)
        return answer

    def agrees(self, text: str) -> bool:
        """Yes for nothing."""
        with _ending():
            return typer.confirm(text, default=True)

    def show(self, findings: Sequence[Any]) -> None:
        from engine.runs.doctor.doctor import table_of

        self._console.print(table_of(findings))

    def tell(self, text: str) -> None:
        typer.echo(text)
