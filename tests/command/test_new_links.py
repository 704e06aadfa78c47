"""The first links that a switch moves are opened as a user would, and shown to the person who is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.support.commands import SWITCH, backed_up, links, ours, said_so
from tests.support.corner import Corner
from tests.support.terminal import ORG, at_a_terminal


class Front(BaseHTTPRequestHandler):
    """What users open links at. It answers every GET with ``status``."""

    status = 200
    asked: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        body = b"<Error><Code>InvalidObjectState</Code></Error>" if self.status == 499 else b"content"
        self.send_response(403 if self.status == 499 else self.status)
        if self.status == 302:
            self.send_header("Location", f"http://{self.headers['host']}/login")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def front(corner: Corner) -> Iterator[type[Front]]:
    """New links lead there."""
    handler = type("Handler", (Front,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        corner.env["ENGINE_DESTINATION__URL_TEMPLATE"] = f"http://127.0.0.1:{server.server_address[1]}/f/{{key}}"
        yield handler
        server.shutdown()


def facts(corner: Corner) -> dict[str, object]:
    return dict(json.loads(corner.runs()[-1]["config_snapshot"]))


def test_the_first_links_are_opened_without_credentials_before_they_move(corner: Corner, front: type[Front]) -> None:
    ids = backed_up(corner, 30)
    said = said_so(corner.engine(*SWITCH), 0, "30 switched", "1 of 1 new links open without credentials")
    [(path, headers)] = front.asked
    assert path.startswith("/f/uploads/")
    assert "authorization" not in headers
    assert "cookie" not in headers
    assert "?" not in path
    assert facts(corner)["opened"] == "1 of 1 new links open without credentials"
    assert links(corner, ids) == ours(corner)
    assert "nobody was asked: --yes was given" in said.out


def test_of_a_large_first_wave_some_are_opened(corner: Corner, front: type[Front]) -> None:
    backed_up(corner, 60)
    env = {"ENGINE_SWITCH__WAVES": '["100%"]'}
    said_so(corner.engine(*SWITCH, **env), 0, "60 switched", "20 of 20 new links open")
    assert len({path for path, _ in front.asked}) == 20


@pytest.mark.parametrize(
    ("status", "told"),
    [(404, "answer 404"), (410, "answer 410"), (503, "answer 503"), (499, "answer 403: the object is archived")],
)
def test_links_that_nobody_can_open_are_not_moved(corner: Corner, front: type[Front], status: int, told: str) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    front.status = status
    said = said_so(corner.engine(*SWITCH), 4, f"1 of 1 new links {told} to a GET", "Nothing was written to Salesforce")
    assert links(corner, ids) == before
    assert "an undo would do" not in said.everything
    assert "is in the journal" not in said.everything
    assert corner.query("SELECT id FROM url_changes") == []
    said_so(corner.engine(*SWITCH, "--force"), 0, "5 switched", f"1 of 1 new links {told}")
    assert links(corner, ids) == ours(corner)


def test_a_host_that_does_not_answer_stops_the_switch(corner: Corner, front: type[Front]) -> None:
    template = "http://127.0.0.1:9/{key}"
    corner.env["ENGINE_DESTINATION__URL_TEMPLATE"] = template
    ids = backed_up(corner)
    before = links(corner, ids)
    said_so(corner.engine(*SWITCH), 4, "1 of 1 new links do not open", "127.0.0.1", "--force moves the links")
    assert links(corner, ids) == before


@pytest.mark.parametrize("status", [401, 403, 302])
def test_what_is_closed_to_strangers_is_told_and_may_be_open_to_users(
    corner: Corner, front: type[Front], status: int
) -> None:
    backed_up(corner, 12)
    front.status = status
    told = "redirects" if status == 302 else f"answer {status} to a GET without credentials"
    said_so(corner.engine(*SWITCH), 0, "12 switched", told)
    assert [path for path, _ in front.asked if "login" in path] == [], "no redirect is followed"


def test_the_question_behind_the_first_wave_shows_what_moved_and_notes_who_said_yes(
    corner: Corner, front: type[Front]
) -> None:
    ids = backed_up(corner, 12)
    before = links(corner, ids)
    front.status = 403
    env = {"ENGINE_SWITCH__WAVES": '[7, 9, "100%"]'}
    typed = [(f"Type {ORG} to go on", ORG), ("Go on? [yes/no]", "yes"), ("Go on? [yes/no]", "no")]
    said = at_a_terminal(corner, "run", "switch", "--execute", typed=typed, **env)
    said_so(said, 5, "7 of 7 new links answer 403 to a GET without credentials", "9 switched")
    question, _, rest = said.everything.partition("Go on? [yes/no]")
    rows, now = corner.rows(), links(corner, ids)
    shown = [name for name in ids if f"  {name}  {rows[name]['record_name']}\n" in question]
    assert len(shown) == 5
    for name in shown:
        assert f"old {before[name]}" in question
        assert f"new {now[name]}" in question
        assert now[name] != before[name]
    assert "Open one of these records in Salesforce" in question
    assert "Open one of these records" not in rest, "once"
    first, second, third = facts(corner)["consent"]  # type: ignore[misc]
    assert (first["to"], first["answer"]) == ("the first write", "yes")
    assert (second["to"], second["answer"], third["to"], third["answer"]) == ("wave 2", "yes", "wave 3", "no")
    assert first["who"]
    assert first["at"].endswith("Z")
    assert f"yes to wave 2 by {second['who']} at {second['at']}" in said.out


def test_a_single_wave_shows_its_first_links_in_the_only_question(corner: Corner, front: type[Front]) -> None:
    ids = backed_up(corner, 7)
    before = links(corner, ids)
    env = {"ENGINE_SWITCH__WAVES": '["100%"]'}
    typed = [(f"Type {ORG} to go on", ORG)]
    said = at_a_terminal(corner, "run", "switch", "--execute", typed=typed, **env)
    question = said_so(said, 0, "7 switched").everything.partition("Type ")[0]
    assert sum(f"old {link}" in question for link in before.values()) == 5


def test_off_a_terminal_it_is_noted_that_nobody_was_asked(corner: Corner, front: type[Front]) -> None:
    backed_up(corner)
    said = corner.engine(*SWITCH, "--json")
    assert {each["asked"] for each in said.json["consent"]} == {"nobody: --yes was given"}
    assert facts(corner)["consent"] == said.json["consent"]
    assert "who" not in said.json["consent"][0]


def test_links_of_a_bucket_on_this_machine_that_lead_elsewhere_are_not_opened(corner: Corner) -> None:
    backed_up(corner)
    told = "no new link was opened: the bucket is on this machine, and the links lead to https://"
    said_so(corner.engine(*SWITCH), 0, "5 switched", told)
