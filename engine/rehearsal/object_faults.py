"""Faults a stand-in object store commits on purpose: which request is hit is decided by rule and seed alone."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

FaultKind = Literal[
    "internal_error",  # 500 InternalError
    "slow_down",  # 503 SlowDown, with Retry-After where retry_after is set
    "access_denied",  # 403 AccessDenied
    "refused",  # status and code, as the rule says
    "reset",  # the connection dies with RST, no answer
    "truncated_body",  # full Content-Length, part of the body, FIN
    "empty_body",  # 200 and nothing in it
    "error_body",  # 200 with an <Error> document
    "flipped_byte",  # one wrong bit in the body
    "wrong_etag",  # a false ETag in header and document
    "delay",  # right, but late
]
_NEED_THE_ANSWER = ("truncated_body", "flipped_byte", "wrong_etag")


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule. Of the rules that match a request the first one that fires decides.

    ``method`` and ``path`` are regular expressions: the first must match the whole method, the second is searched in
    the raw request target with its query. ``header`` is searched in lines of the form ``name: value``, names in lower
    case. ``nth`` picks matching requests by number, from 1. ``rate`` picks this share of them by seed, target and how
    often the target was asked for, so the order in which requests of different targets arrive changes nothing.
    ``times`` ends the rule after so many hits. ``when`` says whether the store has applied the request before the
    fault. ``seconds`` delays the answer, whatever the kind. ``at`` is the offset of the cut or of the flipped byte, by
    default the middle of the body. ``status`` and ``code`` are those of a ``refused`` request.
    """

    kind: FaultKind
    method: str = ".*"
    path: str = ""
    header: str = ""
    when: Literal["before", "after"] = "before"
    nth: tuple[int, ...] = ()
    rate: float = 1.0
    times: int | None = None
    seed: int = 0
    seconds: float = 0.0
    retry_after: int | None = None
    at: int | None = None
    status: int = 400
    code: str = "InvalidRequest"

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown kind of fault {self.kind!r}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate {self.rate} is not a share between 0 and 1")
        for pattern in (self.method, self.path, self.header):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Fault:
        """The rule a JSON object describes; raises ValueError or TypeError where it describes none."""
        return cls(**{**document, "nth": tuple(document.get("nth", ()))})

    @property
    def needs_answer(self) -> bool:
        """Whether the store must have answered before this fault can be committed."""
        return self.when == "after" or self.kind in _NEED_THE_ANSWER

    def matches(self, method: str, target: str, headers: Mapping[str, str]) -> bool:
        """Whether the rule is about this request at all."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, target):
            return False
        return not self.header or any(re.search(self.header, f"{name}: {value}") for name, value in headers.items())


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back on the wire. ``cut`` ends the connection after so many body bytes; ``reset`` sends nothing."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: int | None = None
    reset: bool = False


def error_answer(status: int, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """The document S3 sends with a failure."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{status}</Message></Error>'
    return Answer(status, (("Content-Type", "application/xml"), *headers), body.encode())


def spoil(fault: Fault, answer: Answer) -> Answer:
    """``answer`` as the fault leaves it. For faults that do not need one, what ``answer`` holds does not matter."""
    place = len(answer.body) // 2 if fault.at is None else fault.at
    match fault.kind:
        case "internal_error":
            return error_answer(500, "InternalError")
        case "slow_down":
            wait = () if fault.retry_after is None else (("Retry-After", str(fault.retry_after)),)
            return error_answer(503, "SlowDown", wait)
        case "access_denied":
            return error_answer(403, "AccessDenied")
        case "refused":
            return error_answer(fault.status, fault.code)
        case "error_body":
            return error_answer(200, "InternalError")
        case "empty_body":
            return Answer(200)
        case "reset":
            return Answer(0, reset=True)
        case "truncated_body":
            return dataclasses.replace(answer, cut=min(place, len(answer.body)))
        case "flipped_byte":
            body = bytearray(answer.body)
            if place < len(body):
                body[place] ^= 0x01
            return dataclasses.replace(answer, body=bytes(body))
        case "wrong_etag":
            headers = tuple(
                (name, f'"{"0" * 32}"' if name.lower() == "etag" else value) for name, value in answer.headers
            )
            body_with_lie = re.sub(rb"<ETag>[^<]*</ETag>", b"<ETag>&quot;" + b"0" * 32 + b"&quot;</ETag>", answer.body)
            return dataclasses.replace(answer, headers=headers, body=body_with_lie)
        case "delay":
            return answer


class FaultBook:
    """The rules in force and how often each was met and fired; may be asked from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []
        self._met: Counter[int] = Counter()
        self._fired: Counter[int] = Counter()
        self._asked: Counter[tuple[int, str, str]] = Counter()

    def put(self, rules: Iterable[Fault]) -> None:
        """These rules from now on, counted from zero; none to behave again."""
        with self._lock:
            self._rules = list(rules)
            self._met.clear()
            self._fired.clear()
            self._asked.clear()

    def report(self) -> list[dict[str, Any]]:
        """The rules, each with ``met`` (requests it was about) and ``fired``."""
        with self._lock:
            return [
                {**dataclasses.asdict(rule), "met": self._met[number], "fired": self._fired[number]}
                for number, rule in enumerate(self._rules)
            ]

    def decide(self, method: str, target: str, headers: Mapping[str, str]) -> Fault | None:
        """The fault this request gets, if any; counts it."""
        with self._lock:
            for number, rule in enumerate(self._rules):
                if rule.matches(method, target, headers) and self._fires(number, rule, method, target):
                    self._fired[number] += 1
                    return rule
        return None

    def _fires(self, number: int, rule: Fault, method: str, target: str) -> bool:
        self._met[number] += 1
        asked = number, method, target.partition("?")[0]
        self._asked[asked] += 1
        if rule.times is not None and self._fired[number] >= rule.times:
            return False
        if rule.nth and self._met[number] not in rule.nth:
            return False
        return share_of(f"{rule.seed} {asked} {self._asked[asked]}") < rule.rate


def share_of(text: str) -> float:
    """A number in [0, 1) that follows from ``text``."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=7).digest(), "big") / 2**56
