"""What a network, a proxy or a server does to bodies on their way. Each is about GETs of the odd ones' files."""

from __future__ import annotations

import dataclasses
import gzip

from engine.rehearsal.content import content_of
from tests.support.cruel.peer import Answer, Ask, Behaviour
from tests.support.servers.capture import Recorded, Reply


def without(reply: Reply, *names: str) -> Reply:
    """The same without these headers."""
    kept = {name: value for name, value in reply.headers.items() if name.lower() not in names}
    return dataclasses.replace(reply, headers=kept)


def bearing(reply: Reply, **headers: str) -> Reply:
    """The same with these headers, in place of its own of that name."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    rest = without(reply, *(name.lower() for name in named))
    return dataclasses.replace(rest, headers={**rest.headers, **named})


def chunked(reply: Reply) -> Reply:
    """The same body in chunks, whose end is valid."""
    size = 65_536
    pieces = [reply.body[at : at + size] for at in range(0, len(reply.body), size)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return dataclasses.replace(bearing(without(reply, "content-length"), Transfer_Encoding="chunked"), body=body)


class OnItsWay(Behaviour):
    """Spoils the bodies of true answers."""

    def spoilt(self, reply: Reply) -> Answer:
        raise NotImplementedError

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        reply = await ask(asked)
        if asked.method != "GET" or not self.concerns(asked) or reply.status not in {200, 206}:
            return reply
        self.met += 1
        return self.spoilt(reply)


class Flips(OnItsWay):
    """One wrong bit; length and sums are as true as they were."""

    def spoilt(self, reply: Reply) -> Answer:
        if not reply.body:
            return reply
        at = len(reply.body) * 2 // 3
        return dataclasses.replace(reply, body=reply.body[:at] + bytes([reply.body[at] ^ 1]) + reply.body[at + 1 :])


class PlainWeb(Behaviour):
    """A web server that says nothing of its files but type and length: no ETag, no sums, no request id."""

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        reply = await ask(asked)
        kept = {"content-type", "content-length", "content-range", "accept-ranges", "date", "last-modified"}
        return without(reply, *({name.lower() for name in reply.headers} - kept))


class Cuts(OnItsWay):
    """The length is told, and the connection ends half way."""

    def spoilt(self, reply: Reply) -> Answer:
        told = bearing(reply, Content_Length=str(len(reply.body)))
        return dataclasses.replace(told, cut=len(reply.body) // 2, then="close")


class CutsUntold(OnItsWay):
    """No length, and the connection ends half way."""

    def spoilt(self, reply: Reply) -> Answer:
        half = reply.body[: len(reply.body) // 2]
        bare = bearing(without(reply, "content-length"), Connection="close")
        return dataclasses.replace(bare, body=half, length=False, then="close")


class EndsEarly(OnItsWay):
    """Chunks with a valid end after half of the bytes."""

    def spoilt(self, reply: Reply) -> Answer:
        return chunked(dataclasses.replace(reply, body=reply.body[: len(reply.body) // 2]))


class ToldShort(OnItsWay):
    """Half of the bytes, under a length that says so."""

    def spoilt(self, reply: Reply) -> Answer:
        half = reply.body[: len(reply.body) // 2]
        return dataclasses.replace(bearing(reply, Content_Length=str(len(half))), body=half)


class ToldLong(OnItsWay):
    """More bytes than there are, under a length that says so."""

    def spoilt(self, reply: Reply) -> Answer:
        more = reply.body + b"%%EOF and then some"
        return dataclasses.replace(bearing(reply, Content_Length=str(len(more))), body=more)


class Chunks(OnItsWay):
    """All bytes in chunks; no length."""

    def spoilt(self, reply: Reply) -> Answer:
        return chunked(reply)


class ClosesAtEnd(OnItsWay):
    """All bytes, and only the end of the connection says so."""

    def spoilt(self, reply: Reply) -> Answer:
        bare = bearing(without(reply, "content-length"), Connection="close")
        return dataclasses.replace(bare, length=False, then="close")


class Drips(OnItsWay):
    """All bytes, a few at a time."""

    def spoilt(self, reply: Reply) -> Answer:
        return dataclasses.replace(reply, piece=max(7, len(reply.body) // 200))


class Packs(OnItsWay):
    """A proxy that packs, or unpacks, and does not say so."""

    def spoilt(self, reply: Reply) -> Answer:
        return chunked(without(dataclasses.replace(reply, body=gzip.compress(reply.body)), "content-encoding"))


class Closes(OnItsWay):
    """A true answer that seems to keep the connection, which is closed all the same."""

    def spoilt(self, reply: Reply) -> Answer:
        return dataclasses.replace(reply, then="close")


class ForeignBody(OnItsWay):
    """Another file's bytes, of the same length, under all that is said of this one: a cache that mixes them up."""

    def spoilt(self, reply: Reply) -> Answer:
        return dataclasses.replace(reply, body=content_of("somebody else's", len(reply.body)))


class ForeignAnswer(OnItsWay):
    """Another file, with all that is said of it: an answer that went astray."""

    def __init__(self, other: str, odd: str = "odd") -> None:
        super().__init__(odd)
        self._other = other

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        if asked.method != "GET" or not self.concerns(asked):
            return await ask(asked)
        self.met += 1
        elsewhere = f"{asked.target.rpartition('/')[0]}/{self._other}"
        lines = tuple((name, value) for name, value in asked.lines if name.lower() != "if-match")
        return await ask(Recorded("GET", elsewhere, lines, b"", asked.connection))


class Says(OnItsWay):
    """A message in place of the file, with 200."""

    def __init__(self, content_type: str, body: bytes, odd: str = "odd", *, keeps: bool = False) -> None:
        super().__init__(odd)
        self._content_type = content_type
        self._body = body
        self._keeps = keeps

    def spoilt(self, reply: Reply) -> Answer:
        headers = {"Content-Type": self._content_type, **({"ETag": reply.headers["ETag"]} if self._keeps else {})}
        return Reply(200, headers, self._body)


class Redirects(OnItsWay):
    """Elsewhere, please: to another server, or, without ``to``, to another address of the same file."""

    def __init__(self, to: str = "", status: int = 307, odd: str = "odd") -> None:
        super().__init__(odd)
        self._to = to
        self._status = status

    async def answer(self, asked: Recorded, ask: Ask) -> Answer:
        if asked.method != "GET" or not self.concerns(asked) or "moved=1" in asked.target:
            return await ask(asked)
        self.met += 1
        return Reply(self._status, {"Location": self._to or f"{asked.target}?moved=1"})
