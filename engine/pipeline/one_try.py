"""One try at one plan, as values: what is copied, what earlier tries have learnt, and what a try comes to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.model.errors import Refused
from engine.model.facts import Method, ObjectFacts, Proof
from engine.model.failures import FailureClass
from engine.model.keys import fill_changed
from engine.model.location import Location
from engine.model.plan import Plan
from engine.model.value import value
from engine.pipeline.digest import Sums
from engine.pipeline.routes import Route

Renew = Callable[[], Awaitable[Location]]
"""Gets a fresh link, where links soon expire."""


@value
class Copied:
    """A proved copy."""

    method: Method
    key: str
    source: ObjectFacts
    copy: ObjectFacts
    proof: Proof
    computed: Sums = ()
    read_bytes: int = 0


@dataclass(slots=True)
class Memory:
    """What earlier tries at the same plan have learnt."""

    pinned: ObjectFacts | None
    """What a listing said of the source, as long as nothing speaks against it."""
    key: str
    bad_etag: str | None = None
    """ETag of a write of ours that failed its proof: the only thing a later try may replace."""
    tries: int = 0
    answered: bool = False
    """In the latest try the source has told what it is: what fails from there on may not be its fault."""

    doubted: bool = False
    """The source was not what was said of it before: it must say the same twice now."""

    def unpin(self, plan: Plan) -> None:
        """Forget what the listing said, and the key chosen by it."""
        self.pinned, self.doubted, self.key = None, True, plan.key


@value
class Job:
    """What one try copies, from where and how."""

    plan: Plan
    location: Location
    route: Route
    memory: Memory
    renew: Renew | None = None

    def aim(self, facts: ObjectFacts, max_bytes: int | None) -> None:
        """See whether the source may be copied at all, and to which key: content that changed since goes to another.

        Raises Refused.
        """
        plan, memory, known = self.plan, self.memory, self.plan.known
        memory.answered = True
        if facts.archived:
            why = f"the object is archived ({facts.storage_class}); ask the vendor to restore it"
            raise Refused(FailureClass.ARCHIVED, why)
        if max_bytes is not None and facts.size is not None and facts.size > max_bytes:
            raise Refused(FailureClass.TOO_LARGE, f"{facts.size} bytes, more than migration.max_file_size_mb allows")
        if (
            known is None
            or not known.proof
            or not known.our_key == memory.key == plan.key
            or not facts.etag
            or known.source_etag in {"", facts.etag}
            or not (self.location.in_s3 or facts.size != known.size)  # another web server may give another ETag
        ):
            return
        if plan.record.url == known.our_url:
            why = "the copy behind our link is gone or differs, and its source has changed since: no copy under another"
            raise Refused(FailureClass.SOURCE_CHANGED, f"{why} key mends that link; a verification says what does")
        memory.key = fill_changed(plan.changed_key, facts.etag)


class Taken(Exception):
    """The destination key holds ``found``; the source is ``facts``, its bytes ``computed`` if they have been read."""

    def __init__(self, facts: ObjectFacts, found: ObjectFacts, computed: Sums = ()) -> None:
        super().__init__()
        self.facts = facts
        self.found = found
        self.computed = computed
