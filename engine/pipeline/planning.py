"""Planning: what to do for one record, decided without I/O from the record, its row and a listing.

The first line that fits decides:

    =====================  ==============================================  =======================================
    the tracking DB says   the record says                                 answer
    =====================  ==============================================  =======================================
    anything               an account out of scope                         None
    a copy, any status     the link is our own link                        None, or Touch (*)
    anything               what the org has made of our link               failed / rejected
    backed_up,             the same URL; listed with the same ETag, or no  None, or Touch
    rolled_back (x)        full scan
    (the same)             the same URL; a full scan, not listed           Look
    skipped                skipped again, for the same reason              None, or Touch
    (+)                    no URL                                          skipped / no_url
    (+)                    a URL into our bucket that is not known         skipped / already_ours
    (+)                    a URL that does not parse, or a foreign host    failed / bad_url, host_not_allowed
    (+)                    an extension that is filtered                   skipped / type_filtered
    (+)                    a listed size beyond the limit                  skipped / too_large
    (+)                    no key can be built                             failed / bad_key
    (+)                    the new link is longer than the field           failed / url_too_long
    (+)                    anything else                                   Plan
    =====================  ==============================================  =======================================

    (+) no row; pending, failed, skipped or gone; or a copy whose URL was edited, whose listed ETag differs, for which
        a vendor's API is now asked something else, or whose record is forced; or one whose link was switched and put
        back to the original by somebody else.
    (*) The row becomes switched, if it was not. A record that was gone and is back with our own link, or is forced, is
        planned from its original URL. The copy is proved again; record and row keep the link and what it was. With an
        older link of ours, it is planned as if it held what that link replaced.
    (x) Where a vendor's API gives a link per record: the API is asked the same as before. Listings do not count then.

None: the row is right. Touch: only its Salesforce columns have changed. Look: the source is asked first, and its answer
leads to one of these, or to Looked. A failure is an outcome in every run, so that each run counts it; a skip only in
the first. Copies keep their key: an account or a name that changes later moves no object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.model.change import CHANGED_BY_ORG, Ours
from engine.model.errors import Refused
from engine.model.facts import ObjectFacts
from engine.model.failures import SKIP_CLASSES, FailureClass
from engine.model.keys import changed_template, extension_of, file_name_of, holds
from engine.model.location import Location
from engine.model.outcome import COPIED_STATES, Looked, Outcome, Status, Touch
from engine.model.plan import Known, Look, Plan
from engine.model.record import Record
from engine.model.urls import SourceRules, parse_url
from engine.pipeline.placing import Placing, Target
from engine.pipeline.source_ids import SourceIds

NO_VALIDATOR = "no_validator"
"""The source has neither ETag nor date, and the same size: nothing shows whether it was replaced."""
_SLACK = timedelta(days=1)
"""How much a web server's clock, or its time zone, may differ from ours."""

Decision = Plan | Look | Outcome | Looked | Touch | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which records are wanted; the defaults want all."""

    extensions: frozenset[str] = frozenset()
    """Lower case with their dots; empty: all."""
    max_bytes: int | None = None
    account_id: str | None = None
    """18 characters."""


class Planner:
    """Decides for one record at a time. Holds no state besides its settings. No method raises."""

    def __init__(
        self, rules: SourceRules, target: Target, filters: Filters | None = None, sources: SourceIds | None = None
    ) -> None:
        """Raises Usage when the target's endpoint is no URL."""
        self.places = Placing(target)
        self._rules = rules
        self._filters = filters or Filters()
        self._sources = sources or SourceIds()

    def plan(
        self,
        record: Record,
        known: Known | None,
        page: int,
        ours: Ours | None = None,
        *,
        force: bool = False,
        look: bool = False,
    ) -> Decision:
        """The answer of the table above. ``ours``: the record holds a value of ours. ``force`` plans a copy anew.
        ``look``: it is a full scan, which looks at every source."""
        if self._filters.account_id is not None and record.account_id != self._filters.account_id:
            return None
        if ours is not None and (ours.rewritten or known is None or record.url != known.our_url):
            record = replace(record, url=ours.old)
            if ours.rewritten:
                return _ended(record, known, page, Refused(FailureClass.REJECTED, CHANGED_BY_ORG), "", "", "")
        changed = keep = False
        link = record.url
        if known is not None and link:
            if link == known.our_url:
                original = known.url if ours is None else ours.old
                if known.status is not Status.GONE and not force:
                    if known.status is Status.SWITCHED or not known.proof:
                        return _touched(record, known)
                    return Touch(record, original)
                link, keep = original, True  # users follow our link: the copy is proved, or made again, under its key
            elif known.status in COPIED_STATES:
                other, by_link = self._differ(record, known)
                changed = link != known.url or other or (not by_link and _other_content(known))
                # the original link in a switched row: somebody has put it back, and the row must say so
                keep = known.status is Status.SWITCHED and not changed
                if not changed and not keep and not force:
                    told = known.listed_etag and known.source_etag and not by_link
                    return self._look(record, known, page) if look and not told else _touched(record, known)
        return self._fresh(record, link, known, page, None, changed=changed, keep=keep)

    def pin(self, plan: Plan, listed: ObjectFacts) -> Decision:
        """The plan, pinned to what a listing says of its source.

        Not for an archived source: a restored one is still listed under its archive class, and only HEAD knows. Nor for
        a certain version, because listings show the latest.
        """
        if listed.archived or plan.source.version_id is not None:
            return plan
        try:
            self._admit(plan.file_name, listed)
        except Refused as refused:
            return _ended(plan.record, plan.known, plan.page, refused, plan.file_name, plan.key, plan.url)
        return Plan(
            plan.record, plan.source, plan.source_id, plan.file_name, plan.key, plan.url, plan.duplicate, listed,
            plan.known, plan.page, plan.by_link, plan.room,
        )  # fmt: skip

    def _look(self, record: Record, known: Known, page: int) -> Look | Looked:
        try:
            source = self._source(record.url)
            source_id, by_link = self._sources.of(record, source)
        except Refused as refused:
            return Looked(record, refused.failure.value, str(refused), True, page)
        return Look(record, source, source_id, known, page, by_link)

    def looked(self, look: Look, found: ObjectFacts) -> Decision:
        """What follows from a look: a copy of other content, or that the copy is right."""
        same = _same_content(look.known, found)
        if same:
            return look.stands()
        if same is None:
            return look.stands(NO_VALIDATOR, "the source says neither ETag nor date, and has the same size")
        return self._fresh(look.record, look.record.url, look.known, look.page, found, changed=True, keep=False)

    def undecided(self, records: Sequence[Record], known: Mapping[str, Known]) -> list[Location]:
        """The sources whose routes must be known before these records are planned."""
        if not self._sources.by_route:
            return []
        rows = [(each, known.get(each.id)) for each in records]
        found = [self.locate(each) for each, _ in rows]
        found += [self.locate(replace(each, url=row.url)) for each, row in rows if row and row.url != each.url]
        return [location for location in found if location is not None]

    def source_id(self, record: Record, source: Location) -> int:
        """The number of the record's source; 0: it has none."""
        try:
            return self._sources.of(record, source)[0]
        except Refused:
            return 0

    def locate(self, record: Record) -> Location | None:
        """The source that the record names; None: it names none that may be read."""
        try:
            return parse_url(record.url, self._rules)
        except Refused:
            return None

    def _fresh(
        self,
        record: Record,
        link: str,
        known: Known | None,
        page: int,
        pinned: ObjectFacts | None,
        *,
        changed: bool,
        keep: bool,
    ) -> Decision:
        file_name = key = url = ""
        try:
            source = self._source(link)
            file_name = file_name_of(source, record.name)
            self._admit(file_name, pinned)
            if known is not None and keep and known.our_key:
                key, url = known.our_key, self.places.url_of(known.our_key)
            else:
                key, url = self.places.place(record, file_name, source)
            if known is not None and record.url == known.our_url:
                url = record.url
            room = self.places.room(url)
            if changed and known is not None and holds(known.our_key, key, room):
                changed_template(key, room)  # refuses what does not fit
            elif room < 0:
                raise self.places.too_long(url)
            source_id, by_link = self._sources.of(record, source)
        except Refused as refused:
            return _ended(record, known, page, refused, file_name, key, url)
        return Plan(
            record,
            source,
            source_id,
            file_name,
            key,
            url,
            pinned=pinned,
            known=known,
            page=page,
            by_link=by_link,
            room=room,
        )

    def _differ(self, record: Record, known: Known) -> tuple[bool, bool]:
        if not self._sources.by_route or (source := self.locate(record)) is None:
            return False, False
        return self._sources.differ(record, source, known)

    def _source(self, link: str) -> Location:
        try:
            source = parse_url(link, self._rules)
        except Refused as refused:
            if refused.failure is FailureClass.HOST_NOT_ALLOWED and self.places.is_ours(link):
                raise _already_ours() from None
            raise
        if not source.bucket and self.places.is_ours(link):
            raise _already_ours()
        return source

    def _admit(self, file_name: str, pinned: ObjectFacts | None) -> None:
        wanted = self._filters.extensions
        if wanted and (extension := extension_of(file_name)) not in wanted:
            raise Refused(FailureClass.TYPE_FILTERED, f"{extension or 'no extension'} is not in allowed_extensions")
        limit = self._filters.max_bytes
        if limit is not None and pinned is not None and pinned.size is not None and pinned.size > limit:
            raise Refused(FailureClass.TOO_LARGE, f"{pinned.size:,} bytes; the limit is {limit:,}")


def _touched(record: Record, known: Known) -> Touch | None:
    return None if known.tells(record) else Touch(record)


def _other_content(known: Known) -> bool:
    return bool(known.listed_etag and known.source_etag) and known.listed_etag != known.source_etag


def _same_content(known: Known, found: ObjectFacts) -> bool | None:
    """Whether the source is still what was copied; None: nothing shows it."""
    if found.etag and known.source_etag:
        return found.etag == known.source_etag
    if found.size is not None and found.size != known.size:
        return False
    if not found.last_modified or not known.copied_at:
        return None
    return datetime.fromisoformat(found.last_modified) < datetime.fromisoformat(known.copied_at) - _SLACK


def _ended(
    record: Record, known: Known | None, page: int, refused: Refused, file_name: str, key: str, url: str
) -> Decision:
    """The outcome of a record that is not copied. A row with a copy keeps naming that copy."""
    status = Status.SKIPPED if refused.failure in SKIP_CLASSES else Status.FAILED
    if known is not None:
        again = known.status is Status.SKIPPED and known.failure == refused.failure
        if again and known.url == record.url:
            return _touched(record, known)
        if not key:
            key, url = known.our_key, known.our_url
    return Outcome(
        record,
        status,
        refused.failure,
        str(refused),
        key=key,
        url=url,
        file_name=file_name,
        is_new=known is None,
        page=page,
    )


def _already_ours() -> Refused:
    return Refused(FailureClass.ALREADY_OURS, "the link points into the destination bucket already")
