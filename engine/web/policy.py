"""Where a connection may go, decided when a name becomes an address (I15).

Each URL is checked against the allow list before its request. That leaves the name service: if a listed name suddenly
meant an address of our own network, we would fetch from inside and store the answer as somebody's file.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from engine.model.base_url import is_loopback
from engine.model.location import Origin
from engine.model.proxy import Proxy

_OPEN = ipaddress.IPv6Network("2000::/3")
"""All IPv6 addresses of the open internet (RFC 4291); the others mean this network, or none."""
_IPV4_WITHIN = tuple(
    ipaddress.IPv6Network(f"{form}/96")  # compatible, mapped, translated (RFC 4291, 2765), NAT64 (RFC 6052)
    for form in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::")
)


class HostRefused(OSError):
    """A policy, not a failure: another try would not help."""


class GuardedResolver(AbstractResolver):
    """Resolves listed names only, and refuses private answers except for the hosts that may have them."""

    def __init__(self, hosts: Mapping[str, bool], inner: AbstractResolver | None = None) -> None:
        """``hosts``: by lower-case name, whether its addresses may be private, link-local or this machine."""
        self._hosts = hosts
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        name = host.lower().removesuffix(".")
        if name not in self._hosts:
            raise HostRefused(f"{name} is not on the list of allowed hosts")
        answers = await self._inner.resolve(host, port, family)
        if not self._hosts[name] and not all(is_public(answer["host"]) for answer in answers):
            raise HostRefused(f"{name} resolves to an address that is not public")
        return answers

    async def close(self) -> None:
        await self._inner.close()


def hosts_of(origins: Iterable[Origin], private_hosts: Iterable[str], proxy: Proxy | None) -> dict[str, bool]:
    """What GuardedResolver takes. Behind a proxy only the proxy's name is needed: it resolves the others."""
    if proxy:
        return {proxy.host: True}
    private = {host.lower().removesuffix(".") for host in private_hosts}
    return {origin.host: origin.host in private or is_loopback(origin.host) for origin in origins}


def is_public(address: str) -> bool:
    """Whether an address is of the open internet: not private, shared, link-local, loopback or multicast."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        embedded = found.sixtofour or _embedded(found)
        if embedded is None and found not in _OPEN:
            return False
        found = embedded or found
    return found.is_global and not found.is_multicast


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address in the last 32 bits, in the forms that have one."""
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if any(address in form for form in _IPV4_WITHIN) else None
