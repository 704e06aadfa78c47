"""What answers have in common."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class Step(TypedDict):
    """One thing to do next."""

    command: str | None
    """To be typed as it is, where it holds no `FILE`, `ID`, `CLASS` or `…`. `null`: no command does it."""
    why: str
    """What it does, or when."""


class Always(TypedDict):
    """The keys of every answer."""

    schema: Literal[1]
    """The version of these documents. Within a version keys are added; none is removed or changes its meaning."""
    exit_code: int
    """As the process ends. Its meaning: [exit codes](exit-codes-and-failures.md#exit-codes)."""
    next: list[Step]
    """What fits what has just happened, the most urgent first. The same steps that people see after `next:`."""


class Failure(Always):
    """The answer of any command that was refused, could not be read, or could not go on."""

    error: str
    """What happened."""
    hint: str
    """What is safe, and what to do next, as people read it. It may be empty, or several lines."""


class Answered(Always):
    """The keys of every answer that is no failure."""

    next_lines: list[str]
    """Old name of `next`, as lines for people: the command, three blanks, and what it does."""


class Org(TypedDict):
    """A Salesforce org."""

    org_id: str
    """Its Id of 18 characters."""
    id: str
    """Old name of `org_id`."""
    name: str
    """As the org calls itself."""


class Interval(TypedDict):
    """An estimate. With 95 % confidence the truth lies between `low` and `high`."""

    estimate: float
    """The likely value."""
    low: float
    """The lower end."""
    high: float
    """The upper end."""
    exact: bool
    """Whether it is no estimate: all three are equal."""


class Readiness(TypedDict):
    """Which records a switch may take now. Waived records are not counted."""

    accept_proof: list[str]
    """Proofs that a switch accepts (`switch.accept_proof`)."""
    tracked: int
    """Records in the tracking DB."""
    waived: int
    """Records that somebody took out of the count."""
    in_scope: int
    """`tracked` without `waived`."""
    ready: int
    """Records whose links can be switched now."""
    switched: int
    """Records whose links are switched."""
    not_ready: int
    """The rest of `in_scope`."""
    reasons: dict[str, int]
    """Why they are not ready: records by failure class, state, or `proof_…` for a proof that is not accepted."""
    not_seen: int
    """Records in scope that no scan has seen yet."""
    scan_complete: bool
    """Whether a full scan was completed."""
    percent_ready: float
    """Of `in_scope` and `not_seen`."""
    percent_switched: float
    """Of the same."""
    percent_settled: float
    """Ready or switched, of the same."""
    foreign_link_count: NotRequired[int]
    """With `--readiness`: records whose link in the tracking DB is not made of their key. A switch refuses them."""
    foreign_links: NotRequired[int]
    """Old name of `foreign_link_count`."""
