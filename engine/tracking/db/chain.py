"""The journal's chain: every row is sealed with a key that is never in the DB, together with the row before it.

Whoever changes a row without the key breaks the chain there. Whoever cuts rows off the end, or brings back an older
copy, is told apart by the head: number of rows and last hash, sealed too and kept outside the DB.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shlex
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from engine.model.change import GENESIS, ChainTip
from engine.model.command import Command
from engine.model.errors import Blocked, Differs
from engine.tracking.db.files import unusable

_LEAST = 16
_BLOCK = 64
"""Of SHA-256, in bytes."""

SAFE = (
    "nothing was written to Salesforce. ",
    Command("audit"),
    " names the place. A rollback file of the run, kept elsewhere, can undo without this DB: ",
    Command("run rollback --rollback-file FILE"),
    ", with tracking.database set to a new file and switch.journal_key_file to this journal's key",
)

Row = Sequence[int | str]
"""id, run, wave, record, old, new, event, at, detail; and where the link stands, in a row that says so."""


class Key:
    """The secret behind the seals. Its repr shows the fingerprint only."""

    def __init__(self, secret: bytes) -> None:
        block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self.fingerprint = hashlib.sha256(b"engine journal key\0" + secret).hexdigest()[:16]
        """Names the journal: in files and in the bucket."""

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"

    def seal(self, before: str, content: bytes) -> str:
        """Hex HMAC-SHA256 (RFC 2104) over the seal before and the content; from states kept, at half hmac's cost."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(before.encode() + content)
        outer.update(inner.digest())
        return outer.hexdigest()

    def seal_row(self, before: str, row: Row) -> str:
        """The hash of a journal row.

        A row without a link state has nine values, as all rows had before that column came, and one with it ten. As
        JSON no nine values are ever equal to ten: neither can the column be filled in an old row nor emptied in a new.
        """
        return self.seal(before, orjson.dumps(row))

    def seal_head(self, head: ChainTip) -> str:
        """So that nobody passes off an earlier row as the head."""
        return self.seal("head", orjson.dumps([head.rows, head.hash]))


def key_path(database: Path, configured: Path | None) -> Path:
    """Where the key lies: ``switch.journal_key_file``, or beside the DB."""
    return configured or Path(f"{database}.journal-key")


def load_key(path: Path, *, may_create: bool) -> Key:
    """The key; a new one where there is none and ``may_create``. Raises Blocked."""
    try:
        if not path.exists() and may_create:
            _create(path)
        if not path.exists():
            raise Blocked(
                f"the journal's key {path} is missing, so the journal cannot be checked",
                hint="nothing was written to Salesforce. Put the key file back (switch.journal_key_file says where it "
                "is looked for): without it neither the journal nor a rollback file can be checked, and links go back "
                "only by hand",
            )
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            told = f"the journal's key {path} can be read by others (mode {mode:04o})"
            raise Blocked(told, hint=f"chmod 600 {shlex.quote(str(path))}")
        secret = path.read_bytes().strip()
    except OSError as error:
        raise unusable(path, error) from error
    if len(secret) < _LEAST:
        raise Blocked(
            f"{path} holds no key: at least {_LEAST} bytes are needed", hint="put the journal's own key file back"
        )
    return Key(secret)


def _create(path: Path) -> None:
    partial = Path(f"{path}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, secrets.token_hex(32).encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    os.link(partial, path)
    partial.unlink()
    sync_directory(path)


def tip_path(database: Path) -> Path:
    """Where the head is exported to beside the DB."""
    return Path(f"{database}.journal-head.json")


def tip_document(key: Key, head: ChainTip, at: str) -> bytes:
    """A head as it is exported, beside the DB and into the bucket."""
    return orjson.dumps(
        {"journal": key.fingerprint, "rows": head.rows, "hash": head.hash, "at": at, "seal": key.seal_head(head)}
    )


def read_tip(key: Key, document: bytes, where: str) -> ChainTip:
    """An exported head. Raises Differs when it is not one of this journal, or not sealed by its key."""
    try:
        read = orjson.loads(document)
        head = ChainTip(int(read["rows"]), str(read["hash"]))
        fits = hmac.compare_digest(str(read["seal"]), key.seal_head(head))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise Differs(f"the journal's exported head {where} is damaged, or of another journal", hint=SAFE)
    return head


def write_tip(path: Path, document: bytes) -> None:
    """Replace the exported head; durable when it returns. Raises Blocked."""
    partial = Path(f"{path}.partial")
    try:
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(handle, document)
            os.fsync(handle)
        finally:
            os.close(handle)
        partial.replace(path)
        sync_directory(path)
    except OSError as error:
        raise unusable(path, error) from error


def sync_directory(path: Path) -> None:
    """Make a new name in a directory durable."""
    handle = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Walk:
    """Checks rows one after the other; ``heads`` are exported heads, each of which must lie on the way."""

    def __init__(self, key: Key, heads: Iterable[ChainTip]) -> None:
        self._key = key
        self._due: dict[int, set[ChainTip]] = {}
        for head in heads:
            self._due.setdefault(head.rows, set()).add(head)
        self.head = GENESIS
        self._meet()

    def step(self, row: Row, before: str, seal: str) -> None:
        """Take the next row. Raises Differs where the chain breaks."""
        head = self.head
        if row[0] != head.rows + 1 or before != head.hash or seal != self._key.seal_row(before, row):
            what = "the key does not fit, or its first row was changed" if head.rows == 0 else "the chain breaks"
            raise Differs(
                f"the journal was changed by other hands, or damaged: at row {head.rows + 1} {what}", hint=SAFE
            )
        self.head = ChainTip(head.rows + 1, seal)
        if self.head.rows in self._due:
            self._meet()

    def end(self) -> ChainTip:
        """All rows were taken. Raises Differs when an exported head has seen more of them."""
        furthest = max(self._due, default=0)
        if furthest > self.head.rows:
            raise Differs(
                f"the journal ends at row {self.head.rows}, but its exported head has seen row {furthest}: rows were "
                "cut off, or this DB is an older copy",
                hint=("bring back the latest DB; ", SAFE),
            )
        return self.head

    def _meet(self) -> None:
        if self._due.get(self.head.rows, {self.head}) != {self.head}:
            at = self.head.rows
            raise Differs(f"row {at} of the journal is not the one that its exported head has seen", hint=SAFE)
