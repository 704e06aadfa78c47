"""Messages in place of the file, with 200: from an edge, a gateway, an application. None of them is a copy."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.corner import Corner
from tests.support.cruel.bodies import Says
from tests.support.cruel.world import Note, Route, world

GOOD = "backed_up"
A_MESSAGE = "html_instead_of_file"
PAGE = b"<!DOCTYPE html><html><head><title>Access denied</title></head><body>Reference #18.2d</body></html>"
JSON = b'{"error": "rate limited", "retry": 30}'
TEXT = b"Your session has expired. Please log in again.\n"
DAMAGED = {"checksum_mismatch", "network", "source_changed"}
"""What a store's own message may be taken for as well: it is not what was listed."""


@dataclass(frozen=True)
class Message:
    name: str
    content_type: str
    body: bytes


MESSAGES = [
    Message("a page, with 200", "text/html", PAGE),
    Message("JSON, with 200", "application/json", JSON),
    Message("JSON that is called a PDF", "application/pdf", JSON),
    Message("plain text, with 200", "text/plain; charset=utf-8", TEXT),
]
ROUTES: tuple[Route, ...] = ("stream", "http", "plain")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_a_message_is_no_file(corner: Corner, note: Note, message: Message, route: Route) -> None:
    with world(corner, route, between=False) as place:
        place.make("100 kB")
        place.behave(says := Says(message.content_type, message.body))
        said = place.backup()
        assert said.code == 3, said.everything
        note(message.name, place)
        assert says.met
        assert place.wrong() == []
        assert set(place.ends(odd=False).values()) == {GOOD}
        assert set(place.ends(odd=True).values()) <= {A_MESSAGE} | (DAMAGED if route == "stream" else set())


@pytest.mark.parametrize(
    ("suffix", "content_type", "body"),
    [(".txt", "text/plain", TEXT), (".json", "application/json", JSON), (".html", "text/html", PAGE)],
)
def test_a_file_that_is_called_one_is_one(corner: Corner, suffix: str, content_type: str, body: bytes) -> None:
    with world(corner, "plain", between=False) as place:
        place.make("100 kB", suffix=suffix)
        place.behave(Says(content_type, body))
        assert place.backup().code == 0
        odd = next(file for file in place.files if file.odd)
        assert corner.held()[corner.rows()[odd.id]["your_s3_key"]].size == len(body)
