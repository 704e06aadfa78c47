"""The way out, transport by transport: a proxy with a login, and certificates of a private authority."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.errors import EngineError
from engine.model.hosts import origin_of
from engine.model.location import Location
from engine.model.proxy import proxy_of
from engine.model.record import Record
from engine.redaction import Redactor, secret_values
from engine.s3.api.credentials import Keyring
from engine.s3.api.way_out import WayOut
from engine.s3.open import open_s3
from engine.s3.transport import Transport
from engine.salesforce.faults import from_answer
from engine.salesforce.http import open_http
from engine.settings import NetworkSettings, ResolverSettings, Settings
from engine.web.client import open_web
from engine.web.resolver import LinkResolver
from engine.web.source import WebSource
from tests.support.authority import Authority
from tests.support.servers.streams import finish, serving

SAYS_NO = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
WANTS_A_LOGIN = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
USER, PASSWORD = "us€r", "p@ss/wörd:1"
IN_A_URL = "us%E2%82%ACr:p%40ss%2Fw%C3%B6rd:1"
EXPECTED = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
RECORD = Record("a0X5e0000000001EAA", "D", "", "", "", "")


class Server:
    """Knows no file; keeps the heads it was asked with."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        writer.write(SAYS_NO)


class LoginProxy(Server):
    """Lets through whoever brings the one login."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        if f"\r\nproxy-authorization: {EXPECTED}\r\n".lower() not in head.lower():
            writer.write(WANTS_A_LOGIN)
        elif not head.startswith("CONNECT "):
            writer.write(SAYS_NO)
        else:
            host, _, port = head.split()[1].rpartition(":")
            there, back = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    await finish(writer)


@asynccontextmanager
async def served(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await server(reader, writer)
        await finish(writer)

    async with serving(handle, tls) as port:
        server.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield server


async def salesforce(url: str, network: NetworkSettings) -> None:
    async with open_http(network) as http:
        answer = await http.send("GET", f"{url}/services/data", headers={})
        raise from_answer(answer.status, answer.headers, answer.body)


async def plain(url: str, network: NetworkSettings, query: str = "") -> None:
    scheme, _, authority = url.partition("://")
    origin = origin_of(scheme, authority)
    async with open_web([origin], network) as client:
        place = Location(origin, f"{url}/a.pdf{query}", presigned=bool(query))
        async with WebSource(client, SystemClock()).open(place, None):
            pass


async def presigned(url: str, network: NetworkSettings) -> None:
    await plain(url, network, "?X-Amz-Signature=x&X-Amz-Date=20261122T100000Z&X-Amz-Expires=60")


async def resolver(url: str, network: NetworkSettings) -> None:
    scheme, _, authority = url.partition("://")
    async with open_web([origin_of(scheme, authority)], network) as client:
        settings = ResolverSettings(url=f"{url}/{{Id}}")
        await LinkResolver(settings, client, lambda _: pytest.fail("no answer"), SystemClock()).resolve(RECORD)


def s3(transport: Transport) -> Callable[[str, NetworkSettings], Awaitable[None]]:
    async def ask(url: str, network: NetworkSettings) -> None:
        side: dict[str, Any] = {"endpoint_url": url, "access_key_id": "a", "secret_access_key": "s"}
        tree = {
            "source": {**side, "buckets": ["vendor"]},
            "destination": {**side, "bucket": "ours"},
            "network": {"proxy": network.proxy, "ca_file": network.ca_file},
        }
        async with open_s3(Settings.model_validate(tree), SystemClock(), transport=transport) as store:
            place = Location(origin_of("https", "vendor.invalid"), "https://vendor.invalid/", bucket="vendor", key="a")
            await store.source.facts(place)

    return ask


async def credentials(url: str, network: NetworkSettings) -> None:
    """STS gives the keys of a role."""
    os.environ["AWS_ENDPOINT_URL_STS"] = url
    await Keyring(SystemClock(), "source", profile="role", out=WayOut(proxy_of(network.proxy), network.ca_file)).keys()


TRANSPORTS: dict[str, Callable[[str, NetworkSettings], Awaitable[None]]] = {
    "Salesforce": salesforce,
    "plain http": plain,
    "presigned": presigned,
    "resolver": resolver,
    "fast S3": s3("fast"),
    "sdk S3": s3("sdk"),
    "credentials of S3": credentials,
}


@pytest.fixture(autouse=True)
def a_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = s\nregion = us-east-1\n"
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = default\nregion = us-east-1\n"
        "max_attempts = 1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "")


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    return {name: Authority(tmp_path_factory.mktemp(name), name) for name in ("system", "private", "unknown")}


@pytest.mark.parametrize("signed_by", ["system", "private", "unknown"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_private_authority_is_trusted_beside_the_systems(
    authorities: dict[str, Authority], transport: str, signed_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities["system"].file))
    network = NetworkSettings(ca_file=authorities["private"].file)
    async with served(Server(), authorities[signed_by].server("127.0.0.1")) as server:
        with suppress(EngineError):
            await TRANSPORTS[transport](server.url, network)
    assert bool(server.heads) == (signed_by != "unknown")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_proxy_is_logged_in_to(authorities: dict[str, Authority], transport: str, scheme: str) -> None:
    tls = authorities["private"].server("127.0.0.1") if scheme == "https" else None
    async with served(Server(), tls) as server, served(LoginProxy()) as proxy:
        for login in (f"{IN_A_URL}@", "someone:else@", ""):
            setting = proxy.url.replace("//", f"//{login}")
            network = NetworkSettings(proxy=setting, ca_file=authorities["private"].file)
            proxy.heads.clear()
            with suppress(EngineError) if login.startswith("us") else pytest.raises(EngineError) as caught:
                await TRANSPORTS[transport](server.url, network)
            assert proxy.heads
            assert ("proxy-authorization" in proxy.heads[-1].lower()) == bool(login)
            if caught is not None:
                assert "network.proxy" in f"{caught.value} {getattr(caught.value, 'hint', '')}"
    assert all("proxy-authorization" not in head.lower() for head in server.heads), "the login is the proxy's alone"


@pytest.mark.parametrize("login", ["u:p/w", "u:p?w", "u:p#w", 'u:p"w', "u:p w", "u:<p>"])
def test_a_login_that_readers_would_take_apart_differently_is_refused(login: str) -> None:
    with pytest.raises(ValueError, match="%2F"):
        NetworkSettings.model_validate({"proxy": f"http://{login}@proxy.test:3128"})


def test_a_login_is_shown_nowhere() -> None:
    setting = f"http://{IN_A_URL}@proxy.test:3128"
    network = NetworkSettings(proxy=setting)
    tree = {"destination": {"bucket": "ours"}, "network": {"proxy": setting}}
    hidden = Redactor(secret_values(Settings.model_validate(tree)))
    found = proxy_of(setting)
    assert found is not None
    for text in (repr(network), repr(found), hidden.text(f"{PASSWORD} {EXPECTED} {setting} {found.url}")):
        assert not any(each in text for each in (PASSWORD, "p%40ss", EXPECTED.split()[1], "w%C3"))
