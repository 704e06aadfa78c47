"""What stores say that ours never say: refusals of one object, answers to HEAD without a word, odd listings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from tests.support.cruel.bodies import bearing, without
from tests.support.cruel.peer import Answer, Ask, Behaviour
from tests.support.servers.capture import Recorded, Reply


def error(status: int, code: str, message: str = "") -> Reply:
    """S3's document for a failure."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, {"Content-Type": "application/xml"}, body.encode())


def is_list(asked: Recorded) -> bool:
    return asked.method == "GET" and "list-type=2" in asked.target


class Refuses(Behaviour):
    """The odd ones' requests, by method and header, the first ``times`` of each or for ever."""

    def __init__(
        self, reply: Reply, methods: str = "GET|HEAD|PUT", header: str = "", odd: str = "odd", times: int | None = None
    ) -> None:
        super().__init__(odd)
        self._reply = reply
        self._methods = methods
        self._header = header
        self._times = times
        self._asked: dict[tuple[str, str], int] = {}

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        fits = re.fullmatch(self._methods, asked.method) and (not self._header or self._header in asked.headers)
        if not fits or not self.concerns(asked):
            return await ask(asked)
        line = asked.method, asked.path
        self._asked[line] = self._asked.get(line, 0) + 1
        if self._times is not None and self._asked[line] > self._times:
            return await ask(asked)
        self.met += 1
        if asked.method == "HEAD":
            return Reply(self._reply.status, {"Content-Length": "0"})
        return self._reply


class Dies(Behaviour):
    """Credentials that die at request ``at``: a bare 400 to HEAD, ExpiredToken to all else, until renewed."""

    def __init__(self, at: int, odd: str = "", status: int = 400, code: str = "ExpiredToken") -> None:
        super().__init__(odd)
        self._at = at
        self._status = status
        self._code = code
        self._asked = 0

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        self._asked += self.concerns(asked)
        if self._asked < self._at or not self.concerns(asked):
            return await ask(asked)
        self.met += 1
        bare = Reply(self._status, {"Content-Length": "0"})
        return bare if asked.method == "HEAD" else error(self._status, self._code)


class HeadWithoutLength(Behaviour):
    """HEADs that do not say how long the body is."""

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        reply = await ask(asked)
        if asked.method != "HEAD" or not self.concerns(asked):
            return reply
        self.met += 1
        return dataclasses.replace(without(reply, "content-length"), length=False)


class HeadWithWrongLength(Behaviour):
    """HEADs that say another length."""

    def __init__(self, wrong: Callable[[int], int], odd: str = "odd") -> None:
        super().__init__(odd)
        self._wrong = wrong

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        reply = await ask(asked)
        if asked.method != "HEAD" or not self.concerns(asked) or reply.status != 200:
            return reply
        self.met += 1
        return bearing(reply, Content_Length=str(self._wrong(int(reply.headers["Content-Length"]))))


class Listing(Behaviour):
    """Listings, as ``change`` leaves their text."""

    def __init__(self, change: Callable[[str], str]) -> None:
        super().__init__("")
        self._change = change

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        reply = await ask(asked)
        if not is_list(asked) or reply.status != 200:
            return reply
        self.met += 1
        body = self._change(reply.body.decode()).encode()
        return dataclasses.replace(bearing(reply, Content_Length=str(len(body))), body=body)


def truncated_without_token(text: str) -> str:
    return text.replace("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>")


def encoded_without_saying_so(text: str) -> str:
    """The keys stay encoded, as was asked for."""
    return text.replace("<EncodingType>url</EncodingType>", "")


def of_other_sizes(text: str) -> str:
    return re.sub(r"<Size>(\d+)</Size>", lambda size: f"<Size>{int(size[1]) + 7}</Size>", text)


class ShowsNoSums(Behaviour):
    """A store that knows of no checksums: takes them and tells none."""

    def __init__(self) -> None:
        super().__init__("")

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        lines = tuple((name, value) for name, value in asked.lines if "x-amz-checksum" not in name.lower())
        self.met += len(lines) < len(asked.lines)
        body = re.sub(rb"<Checksum(\w+)>[^<]*</Checksum\1>", b"", asked.body) if asked.method == "POST" else asked.body
        reply = await ask(Recorded(asked.method, asked.target, lines, body, asked.connection))
        shown = [name.lower() for name in reply.headers if "checksum" in name.lower()]
        if asked.method == "GET" and not asked.target.count("?"):
            return without(reply, *shown)
        bare = re.sub(rb"<Checksum(\w+)>[^<]*</Checksum\1>", b"", reply.body)
        kept = reply if asked.method == "HEAD" else bearing(reply, Content_Length=str(len(bare)))
        return dataclasses.replace(without(kept, *shown), body=bare)


class IgnoresConditions(Behaviour):
    """Ceph RGW: ``If-None-Match`` is read by nobody."""

    def __init__(self) -> None:
        super().__init__("")

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        lines = tuple((name, value) for name, value in asked.lines if name.lower() != "if-none-match")
        self.met += len(lines) < len(asked.lines)
        return await ask(Recorded(asked.method, asked.target, lines, asked.body, asked.connection))


class FlipsUploads(Behaviour):
    """A proxy before our store flips a bit of what is written; ``for_ever`` or once for each file."""

    def __init__(self, odd: str = "odd") -> None:
        super().__init__(odd)
        self._done: set[str] = set()

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        if asked.method != "PUT" or not asked.body or not self.concerns(asked) or asked.target in self._done:
            return await ask(asked)
        self._done.add(asked.target)
        self.met += 1
        body = asked.body[:-1] + bytes([asked.body[-1] ^ 1])
        lines = tuple((name, value) for name, value in asked.lines if name.lower() != "x-amz-content-sha256")
        return await ask(Recorded("PUT", asked.target, lines, body, asked.connection))


class CopiesOther(Behaviour):
    """A server-side copy that holds other bytes than its source, and says so in its ETag."""

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        source = asked.headers.get("x-amz-copy-source")
        if asked.method != "PUT" or source is None or self.odd not in source:
            return await ask(asked)
        self.met += 1
        lines = tuple((name, value) for name, value in asked.lines if not name.lower().startswith("x-amz-copy-source"))
        put = await ask(Recorded("PUT", asked.target, lines, b"other bytes", asked.connection))
        if put.status != 200:
            return put
        document = f"<CopyObjectResult><ETag>{put.headers['ETag']}</ETag></CopyObjectResult>"
        return Reply(200, {"Content-Type": "application/xml"}, document.encode())
