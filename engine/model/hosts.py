"""Hosts: an origin in its one normal form, and which bucket, if any, a host serves.

The allow list holds origins and is compared exactly. Every spelling of a host is brought to that one form or refused,
so no encoding of an address (decimal, hex, short, mapped, full-width…) can pass for a listed one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from engine.model.errors import Refused, Usage
from engine.model.failures import FailureClass
from engine.model.location import Origin

_DEFAULT_PORT = {"http": 80, "https": 443}
_AWS = "AWS"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}"
_SERVICE = re.compile(
    rf"(?:s3(?:-fips)?(?:(?:\.dualstack)?\.{_REGION})?"  # s3, s3.R, s3.dualstack.R, s3-fips.R, s3-fips.dualstack.R
    rf"|s3-(?:fips-)?{_REGION}"  # the older dash: s3-us-west-2
    r"|s3-external-1"
    r"|s3-accelerate(?:\.dualstack)?)"
    r"\.amazonaws\.com(?:\.cn)?"
)
"""Hosts of the S3 API (AWS, "Amazon S3 endpoints and quotas"). Not website hosts: they serve pages."""


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What may be read: these buckets through the S3 API, and these origins by plain GET. Nothing else."""

    buckets: frozenset[str]
    endpoint: Origin | None
    """The S3 service of the buckets; None: AWS."""
    region: str
    allowed: frozenset[Origin]

    def __hash__(self) -> int:
        return hash(self.buckets)  # frozen sets keep their hash; the cache of ``site_of`` asks once a URL


@dataclass(frozen=True, slots=True)
class Site:
    """What one host of a URL means under the rules.

    S3 hosts have ``reach`` and ``base``: where a plain GET finds the objects, and what its URL begins with.
    """

    bucket: str = ""
    """The bucket that the host itself names."""
    in_path: bool = False
    """The first segment of the path names the bucket."""
    reach: Origin | None = None
    base: str = ""
    """``https://bucket.host``, ``https://host/bucket``; without the bucket where ``in_path``."""
    own: Origin | None = None
    """The origin as written, over https on AWS, where a presigned GET may go there."""
    plain: Origin | None = None
    """The origin as written, if it is on the allow list."""


def source_rules(
    buckets: Iterable[str], endpoint_url: str | None, region: str, allowed_hosts: Iterable[str]
) -> SourceRules:
    """Rules from settings. An allowed ``host`` or ``host:port`` means https.

    Raises Usage for an entry that is no origin.
    """
    return SourceRules(
        buckets=frozenset(buckets),
        endpoint=_from_settings(endpoint_url) if endpoint_url else None,
        region=region,
        allowed=frozenset(_from_settings(entry) for entry in allowed_hosts),
    )


def origin_of(scheme: str, authority: str) -> Origin:
    """The normal form of a URL's scheme (lower case already) and authority.

    Lower case, no trailing dot, the port in digits, IPv6 compressed. Raises Refused: ``bad_url`` for what is no host,
    ``host_not_allowed`` for letters beyond ASCII (an allow list names such a host in its ``xn--`` form).
    """
    if "@" in authority:
        raise Refused(FailureClass.BAD_URL, "the URL holds a user name or password before its host")
    if not authority.isascii():
        raise Refused(
            FailureClass.HOST_NOT_ALLOWED, "the URL's host has letters beyond ASCII; its xn-- form may be meant"
        )
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise Refused(FailureClass.BAD_URL, "the URL has no valid host")
    port = int(match["port"] or _DEFAULT_PORT[scheme])
    if not 0 < port < 65536:
        raise Refused(FailureClass.BAD_URL, "the URL's port is not between 1 and 65535")
    return Origin(scheme, _address(match["v6"]) if match["v6"] else _name(match["name"]), port)


def store_at(endpoint_url: str | None) -> str:
    """Which store an endpoint means: the same for two spellings of one. Case, default ports, a slash at the end and the
    names of this machine do not count, nor the scheme where both are on their usual port."""
    scheme, _, rest = (endpoint_url or "").strip().partition("://")
    authority, _, path = rest.partition("/")
    try:
        origin = origin_of(scheme.lower(), authority)
    except (KeyError, Refused):
        return endpoint_url or _AWS
    if origin.host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return _AWS
    host = "localhost" if origin.host in _THIS_MACHINE else origin.host
    port = "" if origin.port == _DEFAULT_PORT[origin.scheme] else f":{origin.port}"
    return f"{host}{port}/{path.strip('/')}"


@lru_cache(maxsize=4096)
def site_of(scheme: str, authority: str, rules: SourceRules) -> Site:
    """What the host of a URL means. Raises Refused: ``bad_url``, ``host_not_allowed``."""
    origin = origin_of(scheme, authority)
    plain = origin if origin in rules.allowed else None
    site = _at_endpoint(origin, rules, plain) or _at_aws(origin, rules, plain)
    if site is not None:
        return site
    if plain is None:
        raise Refused(
            FailureClass.HOST_NOT_ALLOWED,
            f"{origin} serves none of source.buckets and is not in source.allowed_hosts",
        )
    return Site(plain=plain)


def service_of(rules: SourceRules, host: str = "") -> Origin:
    """Where a plain GET in path style reaches the buckets: the endpoint, or the AWS host of a region.

    A given AWS host that names no region answers such requests with an error, so the region of the rules is taken.
    """
    if rules.endpoint is not None:
        return rules.endpoint
    if not re.search(_REGION, host):
        host = f"s3.{rules.region}.amazonaws.com" + (".cn" if rules.region.startswith("cn-") else "")
    return Origin("https", host, 443)


def reachable(rules: SourceRules) -> frozenset[Origin]:
    """Every origin that a plain GET may reach under the rules: the allow list, and the buckets' own hosts.

    On AWS those are the hosts of ``rules.region`` and the ones that name no region.
    """
    if rules.endpoint is not None:
        end = rules.endpoint
        named = {Origin(end.scheme, f"{bucket}.{end.host}", end.port) for bucket in rules.buckets}
        return rules.allowed | named | {end}
    tail = ".amazonaws.com" + (".cn" if rules.region.startswith("cn-") else "")
    region = rules.region
    services = (
        "s3", f"s3.{region}", f"s3-{region}", f"s3.dualstack.{region}", f"s3-fips.{region}",
        f"s3-fips.dualstack.{region}", "s3-accelerate", "s3-accelerate.dualstack",
    )  # fmt: skip
    hosts = [service + tail for service in services]
    hosts += [f"{bucket}.{service}{tail}" for bucket in rules.buckets for service in services]
    return rules.allowed | {Origin("https", host, 443) for host in hosts}


def _at_endpoint(origin: Origin, rules: SourceRules, plain: Origin | None) -> Site | None:
    endpoint = rules.endpoint
    if endpoint is None or not _same_port(origin, endpoint):
        return None
    if origin.host == endpoint.host:
        return Site(in_path=True, reach=endpoint, base=str(endpoint), own=endpoint, plain=plain)
    bucket, rest = _cut(origin.host, rules.buckets)
    if not bucket or rest != endpoint.host:
        return None
    own = Origin(endpoint.scheme, origin.host, endpoint.port)
    return Site(bucket, reach=endpoint, base=f"{endpoint}/{bucket}", own=own, plain=plain)


def _at_aws(origin: Origin, rules: SourceRules, plain: Origin | None) -> Site | None:
    if not origin.host.endswith((".amazonaws.com", ".amazonaws.com.cn")) or origin.port != _DEFAULT_PORT[origin.scheme]:
        return None
    secure = Origin("https", origin.host, 443)
    own = secure if rules.endpoint is None or secure in rules.allowed else None
    if _SERVICE.fullmatch(origin.host):
        service = service_of(rules, origin.host)
        return Site(in_path=True, reach=service, base=str(service), own=own, plain=plain)
    bucket, rest = _cut(origin.host, rules.buckets)
    if not bucket or not _SERVICE.fullmatch(rest):
        return None
    if rules.endpoint is None and "." not in bucket:
        return Site(bucket, reach=secure, base=str(secure), own=own, plain=plain)
    # Certificates of AWS cover one label before the service: a bucket with dots is reached in path style.
    service = service_of(rules, rest)
    return Site(bucket, reach=service, base=f"{service}/{bucket}", own=own, plain=plain)


def _cut(host: str, buckets: frozenset[str]) -> tuple[str, str]:
    """The bucket that a host begins with (of several the longest; or none), and the rest of the host."""
    bucket = max((bucket for bucket in buckets if host.startswith(f"{bucket}.")), key=len, default="")
    return bucket, host[len(bucket) + 1 :] if bucket else host


def _same_port(one: Origin, other: Origin) -> bool:
    """Same port, or both on the default port of their scheme: http and https there lead to one store."""
    return one.port == other.port or all(o.port == _DEFAULT_PORT[o.scheme] for o in (one, other))


def _address(text: str) -> str:
    try:
        return ipaddress.IPv6Address(text).compressed
    except ValueError:
        raise Refused(FailureClass.BAD_URL, "the URL has no valid host") from None


def _name(text: str) -> str:
    host = text.lower().removesuffix(".")
    if not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise Refused(FailureClass.BAD_URL, "the URL has no valid host")
    return host


def _from_settings(text: str) -> Origin:
    scheme, found, rest = text.strip().lower().partition("://")
    if not found:
        scheme, rest = "https", scheme
    try:
        if scheme in _DEFAULT_PORT:
            return origin_of(scheme, rest.partition("/")[0])
    except Refused:
        pass
    msg = "source.allowed_hosts or an endpoint_url holds an entry that is no host"
    raise Usage(msg, hint="write host, host:port, or http://host:port")
