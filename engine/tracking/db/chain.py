"""The journal's chain: the HMAC of every row covers the row and the HMAC before it. The key is never in the DB.

Whoever changes a row without the key breaks the chain there. The chain tip shows whether rows were cut off the end, or
an older copy was brought back. It holds the number of rows and the last HMAC, has an HMAC of its own, and lies outside
the DB.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shlex
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from engine.limiting.private_files import DISK, Files, write_private
from engine.model.change import GENESIS, ChainTip
from engine.model.command import Command
from engine.model.errors import Blocked, Differs
from engine.tracking.db.files import unusable

_LEAST = 16
_BLOCK = 64
"""Of SHA-256, in bytes."""

_ELSEWHERE = "with tracking.database set to a new file and switch.journal_key_file to this journal's key"
FROM_FILE = (
    Command("run rollback --rollback-file FILE"),
    f"   undoes without this DB, with a rollback file of the run that was kept elsewhere, {_ELSEWHERE}",
)
SAFE = ("nothing was written to Salesforce.\n  ", Command("audit"), "   names the place\n  ", FROM_FILE)

Row = Sequence[int | str]
"""id, run, wave, record, old, new, event, at, detail; then the link state, in a row that says it."""


class Key:
    """The secret behind the HMACs. Its repr shows the fingerprint only."""

    def __init__(self, secret: bytes) -> None:
        block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self.fingerprint = hashlib.sha256(b"engine journal key\0" + secret).hexdigest()[:16]
        """Names the journal in files and in the bucket."""

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"

    def hmac(self, before: str, content: bytes) -> str:
        """Hex HMAC-SHA256 (RFC 2104) over the HMAC before and the content. The key's two hash states are kept, which
        takes half the time of the ``hmac`` module."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(before.encode() + content)
        outer.update(inner.digest())
        return outer.hexdigest()

    def row_hmac(self, before: str, row: Row) -> str:
        """The HMAC of a journal row, over its values as JSON.

        A row without a link state has nine values, as all rows had before there was that column. A row with one has
        ten. Nine values never make the same JSON as ten, so nobody can fill the column in an old row, or empty it in a
        new one.
        """
        return self.hmac(before, orjson.dumps(row))

    def tip_hmac(self, tip: ChainTip) -> str:
        """So that nobody passes off an earlier row as the tip."""
        return self.hmac("head", orjson.dumps([tip.rows, tip.hash]))


def key_path(database: Path, configured: Path | None) -> Path:
    """Where the key lies: ``switch.journal_key_file``, or beside the DB."""
    return configured or Path(f"{database}.journal-key")


def load_key(path: Path, *, may_create: bool, files: Files = DISK) -> Key:
    """The key. ``may_create``: a new one, where there is none. Raises Blocked."""
    try:
        if not path.exists() and may_create:
            write_private(path, secrets.token_hex(32).encode() + b"\n", replace=False, files=files)
        if not path.exists():
            raise Blocked(
                f"the journal's key {path} is missing, so the journal cannot be checked",
                hint="nothing was written to Salesforce. Put the key file back (switch.journal_key_file says where it "
                "should be). Without it neither the journal nor a rollback file can be checked, and links go back only "
                "by hand",
            )
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise Blocked(
                f"the journal's key {path} can be read by others (mode {mode:04o})",
                hint=f"chmod 600 {shlex.quote(str(path))}",
            )
        secret = path.read_bytes().strip()
    except OSError as error:
        raise unusable(path, error) from error
    if len(secret) < _LEAST:
        raise Blocked(
            f"{path} holds no key: at least {_LEAST} bytes are needed", hint="put the journal's own key file back"
        )
    return Key(secret)


def tip_path(database: Path) -> Path:
    """Where the tip lies beside the DB."""
    return Path(f"{database}.journal-head.json")


def tip_document(key: Key, tip: ChainTip, at: str) -> bytes:
    """A tip as it is exported, beside the DB and into the bucket."""
    return orjson.dumps(
        {"journal": key.fingerprint, "rows": tip.rows, "hash": tip.hash, "at": at, "seal": key.tip_hmac(tip)}
    )


def read_tip(key: Key, document: bytes, where: str) -> ChainTip:
    """An exported tip. Raises Differs where it is of another journal, or was not written with this key."""
    try:
        read = orjson.loads(document)
        tip = ChainTip(int(read["rows"]), str(read["hash"]))
        fits = hmac.compare_digest(str(read["seal"]), key.tip_hmac(tip))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise Differs(f"the journal's exported chain tip {where} is damaged, or of another journal", hint=SAFE)
    return tip


def tip_missing(path: Path) -> Differs:
    """There are rows, and no exported tip to hold them against."""
    return Differs(f"the journal's exported chain tip {path} is missing", hint=("bring it back.\n  ", SAFE))


def write_tip(path: Path, document: bytes, files: Files = DISK) -> None:
    """Replace the exported tip; durable when it returns. Raises Blocked."""
    try:
        write_private(path, document, replace=True, files=files)
    except OSError as error:
        raise unusable(path, error) from error


class Walk:
    """Checks rows one after the other. Each of the exported ``tips`` must be one of them."""

    def __init__(self, key: Key, tips: Iterable[ChainTip]) -> None:
        self._key = key
        self._tips: dict[int, set[ChainTip]] = {}
        for tip in tips:
            self._tips.setdefault(tip.rows, set()).add(tip)
        self.tip = GENESIS
        self._check_tip()

    def step(self, row: Row, before: str, mac: str) -> None:
        """Take the next row. Raises Differs where the chain breaks."""
        tip = self.tip
        if row[0] != tip.rows + 1 or before != tip.hash or mac != self._key.row_hmac(before, row):
            what = "the key does not fit, or its first row was changed" if tip.rows == 0 else "the chain breaks"
            raise Differs(
                f"the journal was changed by other hands, or damaged: at row {tip.rows + 1} {what}", hint=SAFE
            )
        self.tip = ChainTip(tip.rows + 1, mac)
        if self.tip.rows in self._tips:
            self._check_tip()

    def end(self) -> ChainTip:
        """All rows were taken. Raises Differs where an exported tip is of a later row."""
        furthest = max(self._tips, default=0)
        if furthest > self.tip.rows:
            raise Differs(
                f"the journal ends at row {self.tip.rows}, but its exported chain tip is of row {furthest}: rows were "
                "cut off, or this DB is an older copy",
                hint=(
                    "bring back the latest DB, or add the rows that the bucket holds.\n  ",
                    Command("db rebuild --from-bucket"),
                    "   adds them\n  ",
                    SAFE,
                ),
            )
        return self.tip

    def _check_tip(self) -> None:
        if self._tips.get(self.tip.rows, {self.tip}) != {self.tip}:
            at = self.tip.rows
            raise Differs(f"row {at} of the journal is not the one of its exported chain tip", hint=SAFE)
