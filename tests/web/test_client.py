"""Where requests may go: listed origins, few redirects, public addresses."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from engine.limiting.clock import SystemClock
from engine.limiting.tls import trusting
from engine.model.errors import Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.location import Location, Origin
from engine.model.proxy import proxy_of
from engine.settings import NetworkSettings
from engine.web.client import open_web
from engine.web.policy import hosts_of, is_public
from engine.web.source import WebSource
from tests.support.fakes.files import no_more_files
from tests.support.servers.raw import Asked, RawServer, Sent, answer
from tests.support.web import at, body_of, origin, reading


class FakeNames(AbstractResolver):
    """A name service that answers what it is told."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError(f"no such name {host}")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        pass


async def refusal(url: str, names: FakeNames, *allowed: Origin, private: tuple[str, ...] = ()) -> Refused:
    async with open_web(allowed, NetworkSettings(), names=names, private_hosts=private) as client:
        with pytest.raises(Refused) as caught:
            await WebSource(client, SystemClock()).facts(Location(Origin("http", "x", 80), url))
    return caught.value


async def test_a_rehearsal_asks_nobody_beyond_this_machine() -> None:
    names, network = FakeNames(files_test=["127.0.0.1"]), NetworkSettings(loopback_only=True)
    async with RawServer(lambda _: answer(length=4)).serve() as server:
        there = server.url.replace("127.0.0.1", "files.test")
        async with open_web([origin(there), origin(server.url)], network, names=names) as web:
            source = WebSource(web, SystemClock())
            with pytest.raises(Refused, match="not on the list"):
                await source.facts(at(f"{there}/a"))
            assert (await source.facts(at(f"{server.url}/a"))).size == 4
    assert names.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://other.test/a",
        "https://files.test/a",
        "http://files.test:81/a",
        "http://sub.files.test/a",
        "http://files.test@other.test/a",
        "http://files.test.evil.test/a",
        "http://127.0.0.1/a",
        "http://2130706433/a",
        "http://[::1]/a",
        "ftp://files.test/a",
        "file:///etc/passwd",
        "http:///a",
        "http://files.test:99999/a",
    ],
)
async def test_nothing_outside_the_list_is_even_looked_up(url: str) -> None:
    names = FakeNames(files_test=["93.184.216.34"], other_test=["93.184.216.34"])
    error = await refusal(url, names, Origin("http", "files.test", 80))
    assert error.failure in {FailureClass.HOST_NOT_ALLOWED, FailureClass.BAD_URL}
    assert names.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1:ffff::1",
        "fec0::1",
        "::10.0.0.1",
        "::ffff:0:192.168.1.1",
        "::ffff:0:0:10.0.0.1",
        "5f00::1",
        "4000::1",
        "224.0.0.1",
        "no address",
    ],
)
async def test_a_listed_name_that_answers_with_an_inner_address_is_refused(address: str) -> None:
    assert not is_public(address)
    names = FakeNames(files_test=["93.184.216.34", address])
    error = await refusal("http://files.test/a", names, Origin("http", "files.test", 80))
    assert error.failure is FailureClass.HOST_NOT_ALLOWED
    assert "not public" in str(error)


def test_public_addresses_are_public() -> None:
    assert all(
        is_public(address)
        for address in (
            "93.184.216.34",
            "2606:2800:220:1::1",
            "52.218.0.1",
            "64:ff9b::52.218.0.1",
            "::ffff:52.218.0.1",
            "2002:34da:1::",
        )
    )


async def test_a_name_may_be_private_where_the_settings_say_so() -> None:
    async with RawServer(lambda _: answer(body=b"inside")).serve() as server:
        names = FakeNames(minio_internal=["127.0.0.1"])
        allowed = Origin("http", "minio.internal", server.port)
        async with open_web([allowed], NetworkSettings(), names=names, private_hosts=["MinIO.internal."]) as client:
            url = f"http://minio.internal:{server.port}/a.txt"
            assert await body_of(WebSource(client, SystemClock()), Location(allowed, url)) == b"inside"


async def test_listed_loopback_speaks_for_itself() -> None:
    async with RawServer(lambda _: answer(body=b"here")).serve() as server:
        allowed = Origin("http", "localhost", server.port)
        async with open_web([allowed], NetworkSettings()) as client:
            url = f"http://localhost:{server.port}/a.txt"
            assert await body_of(WebSource(client, SystemClock()), Location(allowed, url)) == b"here"


async def test_a_name_that_is_unknown_may_be_known_later() -> None:
    allowed = Origin("http", "files.test", 80)
    async with open_web([allowed], NetworkSettings(), names=FakeNames()) as client:
        with pytest.raises(Transient, match=r"files\.test could not be resolved"):
            await WebSource(client, SystemClock()).facts(Location(allowed, "http://files.test/a"))


def test_behind_a_proxy_only_the_proxys_name_is_resolved_here() -> None:
    origins = [Origin("https", "files.test", 443)]
    assert hosts_of(origins, [], proxy_of("http://user:pw@Proxy.corp:3128")) == {"proxy.corp": True}
    assert hosts_of(origins, [], None) == {"files.test": False}


async def test_a_proxy_is_used_and_the_list_still_holds() -> None:
    async with RawServer(lambda _: answer(body=b"through")).serve() as proxy:
        allowed = Origin("http", "files.test", 80)
        async with open_web([allowed], NetworkSettings(proxy=proxy.url)) as client:
            source = WebSource(client, SystemClock())
            assert await body_of(source, Location(allowed, "http://files.test/a.txt")) == b"through"
            with pytest.raises(Refused):
                await body_of(source, Location(allowed, "http://other.test/a.txt"))
        assert [asked.target for asked in proxy.asked] == ["http://files.test/a.txt"]


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with reading(answer(body=b"direct")) as (source, server):
        assert await body_of(source, at(f"{server.url}/a.txt")) == b"direct"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_within_the_list_are_followed(status: int) -> None:
    async with RawServer(lambda _: answer(body=b"there")).serve() as there:
        moved = answer(status, Location=f"{there.url}/b%20c.txt?X-Amz-Signature=a%2Fb")
        async with reading(moved, there.url) as (source, _):
            assert await body_of(source, at(f"{_.url}/a.txt")) == b"there"
        assert there.asked[0].target == "/b%20c.txt?X-Amz-Signature=a%2Fb"


async def test_a_relative_redirect_stays_where_it_is() -> None:
    def script(asked: Asked) -> Sent:
        return answer(body=b"here") if asked.target == "/x/b.txt" else answer(302, Location="b.txt")

    async with reading(script) as (source, server):
        assert await body_of(source, at(f"{server.url}/x/a.txt")) == b"here"


@pytest.mark.parametrize(
    "target",
    ["{other}/a?sig=s3cret", "//evil.test/a", "file:///etc/passwd", "http://[bad", "http://user@{host}/a", "ftp://x/y"],
)
async def test_redirects_outside_the_list_are_refused(target: str) -> None:
    async with RawServer(lambda _: answer(body=b"stolen")).serve() as other:

        def script(asked: Asked) -> Sent:
            return answer(302, Location=target.format(other=other.url, host=asked.headers["host"]))

        async with reading(script) as (source, server):
            with pytest.raises(Refused) as caught:
                await body_of(source, at(f"{server.url}/a.txt"))
        assert other.asked == []
    assert caught.value.failure is FailureClass.REDIRECTED
    assert "s3cret" not in str(caught.value)


async def test_redirects_without_end_are_given_up() -> None:
    async with reading(answer(302, Location="/again")) as (source, server):
        with pytest.raises(Refused, match="again and again") as caught:
            await body_of(source, at(f"{server.url}/a.txt"))
        assert len(server.asked) == 4
    assert caught.value.failure is FailureClass.REDIRECTED


async def test_cookies_are_neither_kept_nor_sent() -> None:
    async with reading(answer(body=b"x", Set_Cookie="a=b")) as (source, server):
        for _ in range(2):
            await body_of(source, at(f"{server.url}/a.txt"))
        assert all("cookie" not in asked.headers for asked in server.asked)


def test_an_unreadable_ca_file_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="ca_file"):
        trusting(NetworkSettings(ca_file=tmp_path / "absent.pem").ca_file)


async def test_a_url_that_cannot_be_asked_for_is_refused() -> None:
    async with reading(answer()) as (source, server):
        location: Any = Location(origin(server.url), f"{server.url}:x/a")
        with pytest.raises(Refused) as caught:
            await source.facts(location)
    assert caught.value.failure in {FailureClass.BAD_URL, FailureClass.HOST_NOT_ALLOWED}


async def test_where_no_more_files_may_be_opened_a_request_waits_for_its_turn() -> None:
    async with reading(answer(body=b"x" * 9)) as (source, server):
        with no_more_files(), pytest.raises(Transient, match="open files") as caught:
            await source.facts(at(f"{server.url}/a"))
        assert caught.value.failure is FailureClass.THROTTLED
        assert await body_of(source, at(f"{server.url}/a")) == b"x" * 9
