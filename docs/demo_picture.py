"""The end of the demo's story as a small SVG: `engine demo | python docs/demo_picture.py > docs/demo.svg`."""

import re
import sys
from html import escape
from pathlib import Path

SECTIONS = ("7", "8", "9", "11", "12")
"""Of the story: what a newcomer should see."""
COLUMNS, ROW = 100, 18
COLOURS = ((r"\d+\. ", "#7cc7ff"), (r"   \$ ", "#8ae08a"), (r"   (0 differences|Everything as expected)", "#ffd866"))
"""By how a line begins: titles, commands, verdicts."""


def drawn(line: str, row: int) -> str:
    """One line of text in its colour."""
    shown = line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
    colour = next((colour for begin, colour in COLOURS if re.match(begin, line)), "#d8dee9")
    return f'<text x="16" y="{28 + row * ROW}" fill="{colour}" xml:space="preserve">{escape(shown)}</text>'


def main() -> None:
    """The sections wanted, from stdin, in a dark frame."""
    told = sys.stdin.read().replace(f"{Path.cwd()}/", "")
    sections = re.split(r"\n(?=\d+\. )", told)
    lines = [
        line
        for section in sections
        if section.split(".")[0] in SECTIONS
        for line in [*section.rstrip().splitlines(), ""]
    ][:-1]
    height = 28 + len(lines) * ROW
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 836 {height}" role="img"',
        ' font-family="ui-monospace,Menlo,Consolas,monospace" font-size="13">',
        f'<title>The end of engine demo</title><rect width="836" height="{height}" rx="8" fill="#1e2430"/>',
        *(drawn(line, row) for row, line in enumerate(lines) if line),
        "</svg>",
    ]
    sys.stdout.write("\n".join(svg) + "\n")


main()
