"""Tables and lines on a terminal. Control characters in them have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine.model.command import Advice
from engine.runs.shared.command import to_show, to_type

if TYPE_CHECKING:
    from rich.console import Console


def line(console: Console, text: Advice) -> None:
    """One line of any length; brackets in it are no markup, and its commands can be typed as they are."""
    console.print(to_show(to_type(text)), markup=False, highlight=False, soft_wrap=True)


def table(
    console: Console,
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[int] = (),
    wraps: int | None = -1,
) -> None:
    """Only column ``wraps`` (-1: the last; None: any) may take more than one line. No title, and no row of heads, where
    those have no text."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=title or None,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        title_style="bold",
        show_header=any(heads),
    )
    for place, head in enumerate(heads):
        yields = wraps is None or place == wraps % len(heads)
        made.add_column(head, justify="right" if place in right else "left", no_wrap=not yields, overflow="fold")
    for row in rows:
        made.add_row(*(Text(to_show(cell)) for cell in row))
    console.print(made)
