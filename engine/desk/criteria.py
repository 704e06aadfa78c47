"""Go or no go, and may the vendor be cancelled? Each criterion with its arithmetic. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.limiting.clock import MINUTE, for_people
from engine.model.command import Advice, Command
from engine.runs.shared.command import to_type

SHARE = 0.95
"""More than this share of all records must be copied, and later switched."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """``holds`` None: nobody can say; then ``why`` says what is missing."""

    name: str
    holds: bool | None
    why: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "holds": self.holds, "why": self.why}


def go(facts: Mapping[str, Any]) -> list[Criterion]:
    """May links be switched?"""
    files, ready, scope = facts["files"], facts["readiness"], facts["scope"]
    copied = files["backed_up"] + files["switched"] + files["rolled_back"]
    whole = ready["in_scope"] + ready["not_seen"]
    return [
        _scan(scope),
        _share("Copied and proved", copied, whole),
        _unexplained(facts["errors"]),
        _adds_up(files, facts["rows"]),
        _verified(facts["last_verify"], facts["last_copy"]),
        *_links(facts),
        *_unblocked(facts),
    ]


def cancel(facts: Mapping[str, Any]) -> list[Criterion]:
    """May the vendor be cancelled?"""
    ready, audit = facts["readiness"], facts["audit"]
    left = ready["in_scope"] + ready["not_seen"] - ready["switched"]
    return [
        _scan(facts["scope"]),
        Criterion("Every link is switched, or waived", left == 0, f"{left:,} of {ready['in_scope']:,} records are not"),
        _verified(facts["last_verify"], facts["last_switch"]),
        *_links(facts),
        Criterion("The journal is whole", audit["whole"], audit["problem"] or f"{audit['rows']:,} rows were checked"),
        _swept(facts),
        *_unblocked(facts),
    ]


def _links(facts: Mapping[str, Any]) -> list[Criterion]:
    doubt, broken = facts["in_doubt"], facts["unproved"]
    return [
        Criterion("No link in doubt", doubt == 0, f"{doubt:,} links are in doubt"),
        Criterion("No broken link", broken == 0, f"{broken:,} switched links lead to no copy"),
    ]


def _scan(scope: Mapping[str, Any]) -> Criterion:
    why = "the last full scan was completed" if scope["complete"] else "run a full backup to its end"
    return Criterion("Every record was seen", bool(scope["complete"]), why)


def _share(name: str, part: int, whole: int) -> Criterion:
    if not whole:
        return Criterion(name, False, "no record is in scope")
    share = part / whole
    said = f"{part:,} of {whole:,} records, without the waived ones: {100 * share:.2f} %"
    return Criterion(name, share > SHARE, f"{said}; more than {100 * SHARE:.0f} % are wanted")


def _unexplained(errors: list[Mapping[str, Any]]) -> Criterion:
    count = sum(each["count"] for each in errors if each["failure_class"] in {"internal", ""})
    failed = sum(each["count"] for each in errors)
    return Criterion("No unexplained error", count == 0, f"{count:,} of {failed:,} failures have no known cause")


def _adds_up(files: Mapping[str, int], rows: int) -> Criterion:
    return Criterion("The states add up", files["tracked"] == rows, f"{files['tracked']:,} counted, {rows:,} rows")


def _verified(verify: Mapping[str, Any] | None, since: str) -> Criterion:
    name = "Copies were verified, after all that was changed"
    if verify is None:
        return Criterion(name, False, f"no verification was completed: {to_type(Command('verify'))}")
    said = f"level {verify['level']}, {for_people(verify['end_time'], MINUTE)}, {verify['status'].replace('_', ' ')}"
    if not verify["whole"]:
        return Criterion(name, False, f"only some copies were looked at ({said})")
    if verify["end_time"] < since:
        return Criterion(
            name, False, f"{said}; what came after it, until {for_people(since, MINUTE)}, was not looked at"
        )
    return Criterion(name, verify["status"] == "completed", said)


def _swept(facts: Mapping[str, Any]) -> Criterion:
    """Only a search of the whole org, for all of the vendor's names, that began after the last change of a link."""
    name, sweep = "Nothing in the org leads to the vendor", facts["sweep"]
    if sweep is None:
        return Criterion(name, None, f"{to_type(Command('sweep --json'))} > sweep.json, then --sweep sweep.json")
    said = (
        f"{sweep['record_count']:,} values found; {sweep['fields_searched']:,} fields of {sweep['objects_searched']:,} "
        f"objects were searched at {for_people(sweep['begun'], MINUTE)}"
    )
    missed = sorted(set(facts["terms"]) - set(sweep["searched_for"]))
    unfit = [
        why
        for wrong, why in (
            (not _of_this_org(sweep, facts), f"it was the org {sweep['org_id']}"),
            (sweep["watch"], "a round of --watch looks only at what has changed"),
            (not sweep["complete"] or not sweep["fields_searched"], "the sweep was not complete"),
            (bool(missed), f"it did not search for {', '.join(missed)}"),
            (sweep["begun"] < facts["last_switch"], f"links changed until {for_people(facts['last_switch'], MINUTE)}"),
        )
        if wrong
    ]
    if unfit:
        return Criterion(name, False, f"{'; '.join(unfit)}; {said}")
    return Criterion(name, sweep["record_count"] == 0, said)


def _unblocked(facts: Mapping[str, Any]) -> list[Criterion]:
    """Only where its answer is attached: a paper without it says so."""
    name, doctor = "Doctor finds no blocker", facts["doctor"]
    if doctor is None:
        return []
    blockers = [each["what"] for each in doctor["findings"] if each["level"] == "block"]
    said = (
        f"{len(doctor['findings']):,} findings for a {doctor['purpose']} at {for_people(doctor['at'], MINUTE)}, "
        f"{len(blockers):,} of them blockers"
    )
    if not _of_this_org(doctor, facts):
        return [Criterion(name, False, f"it looked at the org {doctor['org_id']}; {said}")]
    if doctor["purpose"] != "switch":
        return [Criterion(name, False, f"{to_type(Command('doctor --for switch --json'))} is wanted; {said}")]
    return [Criterion(name, not blockers, "; ".join([said, *blockers]))]


def _of_this_org(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """An org that the tracking DB does not know yet is any."""
    return not facts["org_id"] or answer["org_id"] == facts["org_id"]


_READINESS: Advice = (Command("status --readiness"), "   says what is not ready, and why")
MENDS: dict[str, Advice] = {
    "Every record was seen": (Command("run backup --full"), "   sees every record, if it runs to its end"),
    "Copied and proved": _READINESS,
    "Every link is switched, or waived": _READINESS,
    "No unexplained error": (Command("status --errors"), "   says why files failed"),
    "Copies were verified, after all that was changed": (Command("verify"), "   looks at every copy"),
    "No link in doubt": (Command("run backup --incremental"), "   reads the links in doubt first"),
    "No broken link": (Command("verify"), "   lists them, and says what repairs them"),
    "The journal is whole": (Command("audit"), "   names the place"),
    "Nothing in the org leads to the vendor": (Command("sweep --json > sweep.json"), "   is what --sweep takes"),
    "Doctor finds no blocker": (Command("doctor --for switch"), "   says how to mend each"),
}
"""What to type next where a criterion does not hold, by its name."""


def after(found: Sequence[Mapping[str, Any]], *, certificate: bool) -> list[Advice]:
    """What to type next. ``found``: criteria as JSON."""
    open_ones = [each["name"] for each in found if not each["holds"]]
    if open_ones or certificate:
        return list(dict.fromkeys(MENDS[name] for name in open_ones if name in MENDS))
    return [(Command("run switch --dry-run"), "   writes a plan: every old and new link")]
