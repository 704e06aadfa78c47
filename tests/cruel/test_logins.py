"""Credentials that die, sessions that end, tokens that rotate: nothing is lost, and the next command goes on."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest

from tests.support.corner import Corner
from tests.support.cruel.answers import Dies
from tests.support.cruel.bodies import bearing
from tests.support.cruel.peer import Answer, Ask, Behaviour, Peer, peers
from tests.support.cruel.world import Note, Route, Transport, world
from tests.support.servers.capture import Recorded, Reply

GOOD = "backed_up"
S3: tuple[Route, ...] = ("server_copy", "stream")
PAGE = Reply(200, {"Content-Type": "text/html"}, b"<html><body>We are down for maintenance.</body></html>")


@pytest.mark.parametrize("transport", ["fast", "sdk"])
@pytest.mark.parametrize("route", S3)
@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("a token that expires at request 30", 400, "ExpiredToken"), ("a key that is revoked", 403, "InvalidAccessKeyId")],
)
def test_a_login_that_dies_midway_leaves_nothing_behind(
    corner: Corner, note: Note, name: str, status: int, code: str, route: Route, transport: Transport
) -> None:
    with world(corner, route, transport, listed=False, attempts=1) as place:
        place.make("100 kB", ordinary=60)
        place.behave(dead := Dies(30, status=status, code=code))
        said = place.backup()
        assert said.code in {3, 4, 5}, said.everything
        assert dead.met
        assert place.wrong() == []

        place.behave()
        again = place.backup("--incremental")
        assert again.code == 0, again.everything
        note(name, place)
        assert place.wrong() == []
        assert {*place.ends(odd=False).values(), *place.ends(odd=True).values()} == {GOOD}


@pytest.mark.parametrize("route", S3)
def test_a_login_that_is_dead_from_the_start_stops_the_run_with_its_cause(corner: Corner, route: Route) -> None:
    with world(corner, route, listed=False, attempts=1) as place:
        place.make("100 kB")
        place.vendor.behave(Dies(1, status=403, code="InvalidAccessKeyId"))
        said = place.backup()
        assert said.code == 4, said.everything
        assert "access key" in said.err
        assert corner.held() == {}


class Org(Behaviour):
    """Salesforce, which tells everybody to go on where this peer is; further ones say what else it does."""

    def __init__(self, peer: Peer) -> None:
        super().__init__("")
        self._peer = peer

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        reply = await ask(asked)
        body = reply.body.replace(self._peer.upstream.encode(), self._peer.url.encode())
        return dataclasses.replace(bearing(reply, Content_Length=str(len(body))), body=body)


class At(Behaviour):
    """Answers requests to such paths by the script, the first so many of them."""

    def __init__(self, path: str, reply: Reply, times: int = 1, first: int = 1) -> None:
        super().__init__("")
        self._path = path
        self._reply = reply
        self._range = range(first, first + times)
        self._asked = 0

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        if not re.search(self._path, asked.path):
            return await ask(asked)
        self._asked += 1
        if self._asked not in self._range:
            return await ask(asked)
        self.met += 1
        if not self._reply.status:
            return dataclasses.replace(await ask(asked), cut=40, then="close")
        return self._reply


class Rotates(Behaviour):
    """A token endpoint whose refresh tokens serve once: every login brings the next one."""

    def __init__(self, first: str) -> None:
        super().__init__("")
        self.newest = first

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        if not asked.path.endswith("/token"):
            return await ask(asked)
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if form.get("refresh_token") != self.newest:
            return Reply(400, {"Content-Type": "application/json"}, b'{"error": "invalid_grant"}')
        self.met += 1
        self.newest = f"refresh-{self.met}"
        form.pop("refresh_token")
        body = urlencode({**form, "grant_type": "client_credentials"}).encode()
        lines = tuple((name, value) for name, value in asked.lines if name.lower() != "content-length")
        told = await ask(Recorded("POST", asked.target, lines, body, asked.connection))
        told_anew = json.dumps({**json.loads(told.body), "refresh_token": self.newest}).encode()
        return Reply(200, {"Content-Type": "application/json"}, told_anew)


ENDED = Reply(
    401,
    {"Content-Type": "application/json"},
    json.dumps([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]).encode(),
)


@pytest.mark.parametrize(
    ("name", "behaviour"),
    [
        ("a session that ends midway", At("/query", ENDED)),
        ("a page of records that is cut", At("/query", Reply(0))),
        ("503 from the edge of Salesforce", At("/query", Reply(503, PAGE.headers, PAGE.body))),
    ],
)
def test_a_stumbling_org_costs_no_record(corner: Corner, name: str, behaviour: At) -> None:
    org = Peer(corner.stage.salesforce_url, login="")
    with peers(org), world(corner, "server_copy") as place:
        place.make("100 kB")
        org.behave(Org(org), behaviour)
        said = place.backup(ENGINE_SALESFORCE__LOGIN_URL=org.url)
        assert said.code == 0, said.everything
        assert behaviour.met
        assert {*place.ends(odd=False).values(), *place.ends(odd=True).values()} == {GOOD}


def test_a_refresh_token_that_serves_once_serves_command_after_command(corner: Corner, tmp_path: Path) -> None:
    org, file = Peer(corner.stage.salesforce_url, login=""), tmp_path / "refresh-token"
    file.write_text("refresh-0\n")
    file.chmod(0o600)
    with peers(org), world(corner, "server_copy") as place:
        place.make("100 kB")
        org.behave(Org(org), rotates := Rotates("refresh-0"))
        login = {
            "ENGINE_SALESFORCE__LOGIN_URL": org.url,
            "ENGINE_SALESFORCE__AUTH": "refresh_token",
            "ENGINE_SALESFORCE__REFRESH_TOKEN_FILE": str(file),
        }
        for kind in ("--full", "--incremental", "--incremental"):
            said = place.backup(kind, **login)
            assert said.code == 0, said.everything
        assert rotates.met == 3
        assert file.read_text().strip() == rotates.newest
