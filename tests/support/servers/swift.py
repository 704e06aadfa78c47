"""OpenStack Swift on loopback as a strict S3 server: it checks signatures, digests and conditions that moto lets pass.

Four daemons from the dev extra (account, container, object, proxy), one device, one replica, no memcached. They need a
file system with user extended attributes, and end with the process that started them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from engine.rehearsal.objects import ObjectServer

START_SECONDS = 60.0
REGION = "us-east-1"
ACCESS_KEY = "test:tester"
_ROOT = Path(__file__).parents[3]
DAEMONS = {
    "account": "swift.account.server",
    "container": "swift.container.server",
    "object": "swift.obj.server",
    "proxy": "swift.proxy.server",
}

# Runs one daemon, after asking the kernel to end it (SIGKILL) with its parent.
_DAEMON = """\
import ctypes, importlib, os, sys
parent, module = int(sys.argv.pop(1)), sys.argv.pop(1)
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() == parent:
    sys.exit(importlib.import_module(module).main())
"""

_COMMON = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {etc}
devices = {devices}
mount_check = false
fsync = false
disable_fallocate = true
fallocate_reserve = 0
workers = 0
log_level = WARNING
log_address = {etc}/no-syslog
"""

_STORAGE = """
[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
mount_check = false
replication_server = false
"""

_PROXY = f"""
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl s3api tempauth copy slo dlo \
versioned_writes symlink proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 30
conn_timeout = 5

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {{secret}} .admin

[filter:s3api]
use = egg:swift#s3api
location = {REGION}
dns_compliant_bucket_names = false

[filter:cache]
paste.filter_factory = tests.support.servers.swift_cache:filter_factory

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""
_PLAIN_FILTERS = (
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "tempurl",
    "slo",
    "dlo",
    "symlink",
    "copy",
)

# Ring files for pairs of arguments (path without suffix, port). In a process of its own, since importing Swift changes
# the logging module for good.
_RINGS = """\
import sys
from swift.common.ring import RingBuilder
for path, port in zip(sys.argv[1::2], sys.argv[2::2]):
    device = {"ip": "127.0.0.1", "port": int(port), "device": "sda", "region": 1, "zone": 1, "weight": 1.0}
    ring = RingBuilder(part_power=4, replicas=1, min_part_hours=1)
    ring.add_dev({**device, "replication_ip": device["ip"], "replication_port": device["port"], "meta": ""})
    ring.rebalance()
    ring.get_ring().save(path + ".ring.gz")
"""


@contextlib.contextmanager
def swift_server(directory: Path) -> Iterator[ObjectServer]:
    """A fresh, empty Swift for the length of the block; takes three to ten seconds to start.

    Its files go below ``directory``, or below another temporary one where that file system has no user extended
    attributes. Raises RuntimeError that says what is missing.
    """
    places = [directory, Path(tempfile.gettempdir()), Path("/var/tmp"), Path.home(), Path.cwd()]
    with home_with_attributes(places) as home:
        secret = secrets.token_hex(12)
        ports = dict(zip(DAEMONS, free_ports(len(DAEMONS)), strict=True))
        _write_configs(home, ports, secret)
        _build_rings(home, ports)
        with contextlib.ExitStack() as stack, _announcements(home / "ready") as announced:
            daemons = {name: stack.enter_context(_daemon(name, home)) for name in DAEMONS}
            _await_ready(announced, daemons, home)
            yield ObjectServer(f"http://127.0.0.1:{ports['proxy']}", ACCESS_KEY, secret, REGION, daemons["proxy"].pid)


@contextlib.contextmanager
def home_with_attributes(places: Sequence[Path]) -> Iterator[Path]:
    """A new directory in the first of ``places`` whose files take user extended attributes; removed at the end.

    Raises RuntimeError that says why none of them would do.
    """
    tried = []
    for base in places:
        try:
            home = Path(tempfile.mkdtemp(prefix="swift-", dir=base))
        except OSError as error:
            tried.append(f"{base}: {error.strerror}")
            continue
        try:
            probe = home / "probe"
            probe.touch()
            os.setxattr(probe, "user.swift.probe", b"x" * 1024)
        except OSError as error:
            shutil.rmtree(home)
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENOSPC):
                raise
            tried.append(f"{base}: {error.strerror}")
            continue
        try:
            yield home
        finally:
            shutil.rmtree(home, ignore_errors=True)  # a daemon may still be writing its last file
        return
    raise RuntimeError(
        "Swift needs a file system with user extended attributes (ext4, xfs, btrfs): " + "; ".join(tried)
    )


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, lower than those that the system gives to whoever asks for any."""
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            sock, port = stack.enter_context(socket.socket()), 20_000 + secrets.randbelow(12_000)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def _write_configs(home: Path, ports: Mapping[str, int], secret: str) -> None:
    (home / "devices" / "sda").mkdir(parents=True)
    (home / "swift.conf").write_text(f"[swift-hash]\nswift_hash_path_suffix = {secrets.token_hex(8)}\n")
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise RuntimeError(f"Swift needs a name in the password file for user {os.geteuid()}") from None
    for name, port in ports.items():
        text = _COMMON.format(port=port, user=user, etc=home, devices=home / "devices")
        if name == "proxy":
            text += _PROXY.format(secret=secret)
            text += "".join(f"\n[filter:{each}]\nuse = egg:swift#{each}\n" for each in _PLAIN_FILTERS)
        else:
            text += _STORAGE.format(name=name)
        (home / f"{name}.conf").write_text(text)


def _build_rings(home: Path, ports: Mapping[str, int]) -> None:
    rings = [word for name in DAEMONS if name != "proxy" for word in (f"{home}/{name}", str(ports[name]))]
    done = subprocess.run([sys.executable, "-c", _RINGS, *rings], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the rings of Swift could not be built: {done.stderr}")


@contextlib.contextmanager
def _announcements(path: Path) -> Iterator[socket.socket]:
    """Where daemons say READY=1, as they would to systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as announced:
        announced.bind(str(path))
        yield announced


@contextlib.contextmanager
def _daemon(name: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _DAEMON, str(os.getpid()), DAEMONS[name], str(home / f"{name}.conf"), "verbose"]
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "NOTIFY_SOCKET": str(home / "ready"), "PYTHONPATH": path},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()  # nothing here is worth an orderly end
        process.wait()


def _await_ready(announced: socket.socket, daemons: Mapping[str, subprocess.Popen[bytes]], home: Path) -> None:
    """Return once each daemon has announced itself; RuntimeError with its last words where one ends or is silent."""
    deadline = time.monotonic() + START_SECONDS
    announced.settimeout(0.25)
    ready = 0
    while ready < len(daemons):
        with contextlib.suppress(TimeoutError):
            ready += b"READY=1" in announced.recv(4096)
        for name, process in daemons.items():
            if process.poll() is not None or time.monotonic() > deadline:
                words = (home / f"{name}.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"swift-{name}-server did not start (exit status {process.returncode}): {words}")
