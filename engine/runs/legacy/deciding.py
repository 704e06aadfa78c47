"""What becomes of an old copy and of an old link. Decided without I/O.

A copy counts only where it is proved now, by what both sides say now (``pipeline/verify.py``). What the scripts noted
of size and hash proves nothing: they may have read half a body, and others may have written under the key since.

| source and object                                | judgement                                                      |
|--------------------------------------------------|----------------------------------------------------------------|
| both listed, with equal size and ETag            | proved                                                         |
| both listed, of different size                   | not: ``source_changed``, or ``key_conflict``                   |
| anything else: not listed, ETags differ (SSE-KMS) | ask: a HEAD of both; with ``--read-bytes`` both are read       |

Of several records with one key, those whose file it holds are proved; one of them gets the key. The others are pending,
except those whose link already leads there: their copy is as good.

| the record holds                 | the scripts noted a move           | they did not                          |
|----------------------------------|------------------------------------|---------------------------------------|
| the scripts' link                | journal: ours; the row: switched   | the same: a run of theirs ended early |
| the original link                | journal: original                  | nothing                               |
| another link, or it is gone      | journal: edited, gone              | nothing; gone                         |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.model.change import Event, Held, LinkState, Step
from engine.model.facts import OPENABLE, ObjectFacts, Proof
from engine.model.failures import SKIP_CLASSES, FailureClass
from engine.model.old_copy import Old
from engine.model.outcome import Status
from engine.pipeline.switching import link_state
from engine.pipeline.verify import Mismatch, prove

WAVE = 1
"""Of all links that are imported."""
FOUND = "moved by the original scripts"


class Judgement(NamedTuple):
    """Of one old copy. ``proof``: it is proved; else ``failure`` says why not; neither: ask."""

    proof: Proof | None = None
    failure: FailureClass | None = None
    message: str = ""
    ours: ObjectFacts | None = None
    theirs: ObjectFacts | None = None
    sha256: str = ""
    """Of the bytes, where they were read."""

    @property
    def open(self) -> bool:
        return self.proof is None and self.failure is None


ASK = Judgement()


def judge(old: Old, ours: ObjectFacts | None, theirs: ObjectFacts | None) -> Judgement:
    """By listings alone; None: not listed."""
    if old.refused:
        return Judgement(failure=old.failure, message=old.why)
    if ours is None or theirs is None or ours.storage_class not in OPENABLE:
        return ASK
    if ours.size != theirs.size:
        return other_file(old, ours, theirs)
    try:
        proof = prove(theirs, ours)
    except Mismatch:
        return ASK  # under SSE-KMS an ETag only looks like an MD5
    return ASK if proof is None else Judgement(proof, ours=ours, theirs=theirs)


def other_file(old: Old, ours: ObjectFacts, theirs: ObjectFacts) -> Judgement:
    """The object under the key is not the record's file of today. Why, is told by its size alone."""
    if old.size is not None and ours.size != old.size:
        failure, message = FailureClass.KEY_CONFLICT, f"{old.key} holds another file than the one that was copied there"
    else:
        failure, message = FailureClass.SOURCE_CHANGED, "the source is not, or no longer, what lies under the old key"
    return Judgement(failure=failure, message=message, ours=ours, theirs=theirs)


def share(group: Sequence[tuple[Old, Judgement]], ours: Mapping[str, LinkState], holder: str = "") -> list[Judgement]:
    """The judgements of records with one key, once it is known whose it is. ``ours``: where their links stand.
    ``holder``: another record that has the key already."""
    proved = [old for old, judgement in group if judgement.proof is not None]
    there = {old.id for old in proved if ours.get(old.id) is LinkState.OURS}
    if not holder and len(group) > 1:
        holder = max(((old.id in there, old.copied_at, old.id) for old in proved), default=(False, "", ""))[2]
    return [_shared(old, judgement, holder, keeps=old.id in {holder, *there}) for old, judgement in group]


def _shared(old: Old, judgement: Judgement, holder: str, *, keeps: bool) -> Judgement:
    if not holder or keeps or old.refused:
        return judgement
    message = f"{old.key} is the copy of {holder}: the original scripts gave both one key"
    return Judgement(failure=FailureClass.KEY_CONFLICT, message=message, ours=judgement.ours, theirs=judgement.theirs)


def where(old: Old, held: Held | None) -> LinkState:
    """Where its link stands."""
    return link_state(held, old.url, old.link)


def journalled(old: Old, state: LinkState | None, *, known: bool = False) -> bool:
    """Whether the journal is to know of its link. None: nobody has looked. ``known``: this DB has a row of the record
    that stays; then only a link that is there matters."""
    return state is not None and not lost(old) and ((old.switched and not known) or state is LinkState.OURS)


def lost(old: Old) -> bool:
    """Whether no original is known that may be put back: it is unknown, or the settings do not let it in."""
    return old.refused not in {"", FailureClass.COPY_MISSING.value}


def steps(old: Old, state: LinkState, held: Held | None) -> list[Step]:
    """The rows of the journal: what the scripts intended, and what was found."""
    found = held.url if held is not None and state is LinkState.EDITED else ""
    return [
        Step(old.id, old.url, old.link, Event.INTENDED, WAVE),
        Step(old.id, old.url, old.link, Event.SETTLED, WAVE, state, FOUND, found),
    ]


class Adopted(NamedTuple):
    """A copy of the scripts that the row keeps."""

    link: str
    size: int
    proof: Proof
    verified: bool = False
    source_etag: str = ""
    etag: str = ""
    sha256: str = ""


class Becomes(NamedTuple):
    """The row of a record, before the journal has its say."""

    old: Old
    status: Status
    failure: FailureClass | None = None
    message: str = ""
    copy: Adopted | None = None

    @property
    def proof(self) -> Proof | None:
        """What proves the copy; None: nothing does."""
        return self.copy.proof if self.copy is not None and self.copy.verified else None


def becomes(old: Old, judgement: Judgement, state: LinkState | None, link: str) -> Becomes:
    """``link``: what the settings make of its key. A record that holds the scripts' link keeps that one."""
    there = state is LinkState.OURS and not old.refused
    facts = judgement.ours
    if state is LinkState.GONE and (not old.switched or lost(old)):  # the journal tells of the others
        return Becomes(old, Status.GONE, FailureClass.DELETED, "the record was deleted in Salesforce, or is hidden")
    if judgement.proof is not None and facts is not None and judgement.theirs is not None:
        kept = old.link if there else link
        source_etag, etag = judgement.theirs.etag, facts.etag
        copy = Adopted(kept, facts.size or 0, judgement.proof, True, source_etag, etag, judgement.sha256)
        return Becomes(old, Status.BACKED_UP, copy=copy)
    failure = judgement.failure or FailureClass.UNPROVED
    if there:  # the journal makes it switched, with a copy that the next backup is to prove, or to make again
        size = (facts.size if facts is not None else old.size) or 0
        return Becomes(old, Status.PENDING, failure, judgement.message, Adopted(old.link, size, Proof.SIZE))
    if failure in SKIP_CLASSES:
        return Becomes(old, Status.SKIPPED, failure, judgement.message)
    failed = failure in {FailureClass.BAD_URL, FailureClass.HOST_NOT_ALLOWED}
    return Becomes(old, Status.FAILED if failed else Status.PENDING, failure, judgement.message)


def ends_as(row: Becomes, state: LinkState | None) -> tuple[Status, FailureClass | None]:
    """State and class of the record once the journal has had its say (``tracking/write/journal.py``)."""
    if not journalled(row.old, state):
        return row.status, row.failure
    if state is LinkState.OURS:  # a link to another bucket is to be put back, and leads to no copy of ours
        return (Status.SWITCHED, None) if row.copy is not None else (row.status, row.failure)
    if state is LinkState.EDITED:
        return Status.PENDING, FailureClass.DRIFTED
    if state is LinkState.GONE:
        return Status.GONE, FailureClass.DELETED
    return row.status, row.failure
