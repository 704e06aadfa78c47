"""Our bucket: can it be written and read, and is it set up so that copies are safe?"""

from __future__ import annotations

import asyncio
import hashlib

from engine.limiting.clock import Clock
from engine.model.command import Command
from engine.model.errors import EngineError, Fatal
from engine.model.facts import ARCHIVES, ObjectFacts, Occupied
from engine.runs.doctor.checks.finding import Finding, Level, block, ok, unknown, warn
from engine.runs.journal.own_objects import JOURNALS
from engine.runs.shared.assembly import Adapters
from engine.s3.api.bucket_setup import BucketSetup, Fact
from engine.s3.transfer.blocks import InMemory
from engine.s3.transfer.destination import S3Destination

PROBES = ".engine/doctor-"
_BODY = b"engine doctor: written to see whether it can be; safe to delete\n"


def probe_key(clock: Clock) -> str:
    """A name that no record's copy has and no other doctor has taken."""
    return f"{PROBES}{clock.now():%Y%m%dT%H%M%S}-{int(clock.random() * 16**6):06x}.txt"


async def write_and_read(adapters: Adapters, key: str) -> Finding:
    """Write a small object under a key of its own, read it back, compare. From an archive class nothing is read."""
    destination = adapters.s3.destination
    where = f"s3://{adapters.ours.bucket}"
    try:
        await destination.check()
        stream = InMemory(ObjectFacts(size=len(_BODY), etag="", etag_is_md5=False), _BODY)
        await adapters.retries.of(lambda: destination.store(stream, key))
        if adapters.ours.storage_class in ARCHIVES:
            return ok("destination", f"{where} can be written")
        back = await _read(adapters, key)
    except EngineError as error:
        hint = error.hint if isinstance(error, Fatal) else ""
        fix = hint or (Command("doctor --iam"), " lists the rights that the destination's credentials need")
        return block("destination", f"{where} cannot be written and read back: {error}", fix)
    if back != hashlib.sha256(_BODY).hexdigest():
        fix = "something between this machine and the bucket changes the bytes: look for a proxy or a gateway"
        return block("destination", f"{where} gave back other bytes than were written", fix)
    return ok("destination", f"{where} can be written and read back")


def storage_class(name: str | None, *, grave: bool) -> list[Finding]:
    """Whether every new copy would lie where nobody can open it. ``grave``: it blocks; a backup needs no opening."""
    if name not in ARCHIVES:
        return []
    what = f"destination.storage_class is {name}: nobody can open such copies, and no link can be moved to them"
    fix = "leave it to the bucket's default, or set a class that opens at any time, such as STANDARD_IA or GLACIER_IR"
    return [Finding("storage_class", Level.BLOCK if grave else Level.WARN, what, fix)]


def copy_of(key: str) -> str:
    """Where the probe is copied to."""
    return key.removesuffix(".txt") + "-copy.txt"


async def never_overwrites(destination: S3Destination, key: str) -> Finding:
    """Whether the store itself refuses to overwrite an object by a copy. The probe's write has shown it for writes."""
    try:
        facts = await destination.facts(key)
        if facts is not None:
            await destination.try_copy(key, facts, copy_of(key))
    except (EngineError, Occupied) as error:
        return unknown("no_overwrite", f"the probe could not be copied: {error}", "a streaming backup needs no copies")
    if window := destination.window():
        return warn("no_overwrite", window, "let nothing but engine write under these keys during a backup")
    return ok("no_overwrite", "the store refuses by itself to overwrite an object (If-None-Match)")


async def remove_probe(adapters: Adapters, key: str) -> Finding:
    """Delete the probe and its copy. A backup needs no right to delete, so none is asked for."""
    copied = await adapters.s3.bucket_setup.remove(copy_of(key))
    removed = await adapters.s3.bucket_setup.remove(key) if copied.known else copied
    if removed.value:
        what = "the probe object was deleted again; the bucket keeps versions: its version and a delete marker remain"
        return ok("probe", f"{what} (a lifecycle rule for noncurrent versions under {PROBES} removes them)")
    if removed.known:
        return ok("probe", "the probe object was deleted again")
    kept = f"the probe object s3://{adapters.ours.bucket}/{key} and its copy remain"
    return ok(
        "probe",
        f"{kept}: deleting them was answered with {removed.why} (a backup never deletes; delete them when convenient)",
    )


async def set_up(setup: BucketSetup, *, copies_ignore: bool, off_box: bool) -> list[Finding]:
    """Encryption, versioning, and lifecycle rules. ``copies_ignore``: the store ignores conditions on copies, as Ceph
    RGW does, which with versioning ignores them on writes too. ``off_box``: the bucket keeps the journal."""
    encryption, versioning, uploads, archives, ends = await asyncio.gather(
        setup.encryption(), setup.versioning(), setup.aborts_uploads(), setup.archives(), setup.ends(JOURNALS)
    )
    rules = [_encryption(encryption), _versioning(versioning, copies_ignore=copies_ignore), _uploads(uploads)]
    return [*rules, *_archives(archives), *(_journal(ends) if off_box else [])]


def _encryption(fact: Fact) -> Finding:
    if not fact.known:
        return _not_known("encryption", "the bucket's default encryption", fact, "s3:GetEncryptionConfiguration")
    if fact.value is None:
        fix = "AWS encrypts every new object with SSE-S3 by itself; elsewhere set destination.sse: AES256"
        return ok("encryption", f"no default encryption is set: {fix}")
    if fact.value.startswith("aws:kms"):
        fix = "whoever opens the new links needs kms:Decrypt on the key; a plain link without credentials cannot work"
        return warn("encryption", f"new objects are encrypted with {fact.value}", fix)
    return ok("encryption", f"new objects are encrypted with {fact.value}")


def _versioning(fact: Fact, *, copies_ignore: bool) -> Finding:
    if not fact.known:
        return _not_known("versioning", "whether the bucket keeps versions", fact, "s3:GetBucketVersioning")
    if fact.value == "Enabled":
        return ok("versioning", "versioning is on: an object that is overwritten or deleted can be brought back")
    fix = "turn versioning on before the switch: links will depend on these objects"
    if copies_ignore:
        fix = "turn it on between backup and switch, not before: with it Ceph RGW ignores If-None-Match on writes too"
    return warn("versioning", "versioning is off: an object that is deleted is gone", fix)


def _uploads(fact: Fact) -> Finding:
    if not fact.known:
        what = "whether a lifecycle rule aborts forgotten uploads"
        return _not_known("lifecycle", what, fact, "s3:GetLifecycleConfiguration")
    if fact.value is None:
        fix = "add a rule with AbortIncompleteMultipartUpload after 7 days; a run aborts only its own uploads"
        return warn("lifecycle", "no lifecycle rule aborts incomplete multipart uploads, which cost money", fix)
    if fact.value < 2:
        fix = "allow 7 days: the rule may abort uploads of a run in progress"
        return warn("lifecycle", f"incomplete multipart uploads are aborted after {fact.value} day", fix)
    return ok("lifecycle", f"incomplete multipart uploads are aborted after {fact.value} days")


def _archives(fact: Fact) -> list[Finding]:
    """``_uploads`` tells where the rules may not be read."""
    if not fact.value:
        return []
    what = f"lifecycle rules move objects to {', '.join(fact.value)}: links to such copies stop working"
    fix = "take the prefix of destination.key_template out of these rules before links are moved"
    return [warn("archiving", what, fix)]


def _journal(fact: Fact) -> list[Finding]:
    if not fact.value:
        return []
    does = " and ".join("delete" if each == "expire" else f"move to {each}" for each in fact.value)
    what = f"lifecycle rules {does} objects under {JOURNALS}: without them a lost machine takes the way back with it"
    return [warn("journal_rules", what, "leave this prefix out of those rules before links are moved")]


def _not_known(check: str, what: str, fact: Fact, right: str) -> Finding:
    return unknown(check, f"{what} cannot be read ({fact.why})", f"grant {right}, or check the bucket's settings")


async def _read(adapters: Adapters, key: str) -> str:
    async def once() -> str:
        digest = hashlib.sha256()
        async with adapters.s3.ours.open(adapters.locate(key), None) as stream:
            async for chunk in stream.chunks():
                digest.update(chunk)
        return digest.hexdigest()

    return await adapters.retries.of(once)
