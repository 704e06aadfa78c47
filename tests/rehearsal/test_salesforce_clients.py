"""simple-salesforce, unmodified, talks to the stand-in: it finds here what it finds in a real org."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceAuthenticationFailed, SalesforceExpiredSession
from simple_salesforce.exceptions import SalesforceMalformedRequest

from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings


class Rerouted(HTTPAdapter):
    """Sends every https request to the stand-in: the client only ever builds ``https://…salesforce.com`` addresses."""

    def __init__(self, server: Server) -> None:
        self._base = server.url
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        assert request.url is not None
        _, _, rest = request.url.partition("://")
        request.url = f"{self._base}/{rest.partition('/')[2]}"
        return super().send(request, *args, **more)


def rerouted(server: Server) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Rerouted(server))
    return session


async def against(work: Callable[[Server, requests.Session], None], settings: StandInSettings | None = None) -> None:
    """Run blocking client code in a thread beside a stand-in with 4,500 rows."""
    async with SalesforceStandIn(settings).serve() as server:
        accounts = server.world.load("Account", [{"Name": "Acme"}])
        server.world.load("DocListEntry__c", [{"Name": f"{n:04}", "Account__c": accounts[0]} for n in range(4500)])

        def job() -> None:
            with rerouted(server) as session:
                work(server, session)

        await asyncio.to_thread(job)


def my_domain(session: requests.Session) -> Salesforce:
    return Salesforce(
        consumer_key="rehearsal", consumer_secret="rehearsal-secret", domain="mydomain.my", session=session
    )


async def test_it_logs_in_with_client_credentials_and_reads_everything() -> None:
    def work(server: Server, session: requests.Session) -> None:
        client = my_domain(session)
        found = list(client.query_all_iter("SELECT Id, Name, Account__r.Name FROM DocListEntry__c ORDER BY Name"))

        assert [row["Name"] for row in found] == [f"{n:04}" for n in range(4500)]
        assert found[0]["Account__r"]["Name"] == "Acme"
        assert client.query("SELECT COUNT() FROM DocListEntry__c")["totalSize"] == 4500
        assert client.api_usage["api-usage"].used == server.org.usage.used()
        assert client.is_sandbox() is True

    await against(work)


async def test_it_logs_in_by_soap_with_a_security_token() -> None:
    def work(server: Server, session: requests.Session) -> None:
        known = {"username": "operator@example.test", "security_token": "rehearsal-token", "session": session}
        client = Salesforce(password="rehearsal-password", **known)

        assert client.query("SELECT Id FROM Account")["totalSize"] == 1
        with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
            Salesforce(password="wrong", **known)

    await against(work)


async def test_it_updates_creates_and_deletes_rows() -> None:
    def work(server: Server, session: requests.Session) -> None:
        client = my_domain(session)
        made = client.DocListEntry__c.create({"Name": "made", "Document__c": "https://old.test"})
        assert client.DocListEntry__c.update(made["id"], {"Document__c": "https://new.test"}) == 204
        assert client.DocListEntry__c.get(made["id"])["Document__c"] == "https://new.test"
        assert client.DocListEntry__c.delete(made["id"]) == 204
        with pytest.raises(SalesforceMalformedRequest, match="STRING_TOO_LONG"):
            client.DocListEntry__c.create({"Name": "x" * 81})

    await against(work)


async def test_it_describes() -> None:
    def work(server: Server, session: requests.Session) -> None:
        client = my_domain(session)
        described = client.DocListEntry__c.describe()

        assert described["keyPrefix"] == "a0X"
        assert any(item["name"] == "DocListEntry__c" for item in client.describe()["sobjects"])
        assert client.limits()["DailyApiRequests"]["Max"] == 100_000

    await against(work)


async def test_it_notices_an_expired_session() -> None:
    def work(server: Server, session: requests.Session) -> None:
        client = Salesforce(session_id="00Dnothing!AQ", instance_url=server.url, session=session)
        with pytest.raises(SalesforceExpiredSession):
            client.query("SELECT Id FROM Account")

    await against(work)


async def test_it_talks_tls_to_a_stand_in_with_a_certificate(tmp_path: Path) -> None:
    paths = certificate(tmp_path)
    settings = StandInSettings(instance_host="localhost", tls_cert=paths["cert"], tls_key=paths["key"])
    async with SalesforceStandIn(settings).serve() as server:
        token = server.org.sessions.open(server.org.user_id)

        def work() -> Mapping[str, Any]:
            with requests.Session() as session:
                session.trust_env = False  # a proxy or a bundle of this machine has no say here
                session.verify = str(paths["cert"])
                client = Salesforce(session_id=token, instance_url=server.url, session=session)
                found: Mapping[str, Any] = client.query("SELECT Name FROM Organization")
                return found

        found = await asyncio.to_thread(work)

    assert server.url.startswith("https://localhost:")
    assert found["records"][0]["Name"] == "Rehearsal Org"


def certificate(folder: Path) -> dict[str, Path]:
    """A certificate for this machine that signs itself, and its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = {"cert": folder / "cert.pem", "key": folder / "key.pem"}
    paths["cert"].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths["key"].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
