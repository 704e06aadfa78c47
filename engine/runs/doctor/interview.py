"""``engine init --interactive``: asks for what the settings need, and tries each answer before the next question.

Secrets are used for these trials alone. They are never written; the last words say where they belong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine.limiting.clock import Clock
from engine.model.errors import EngineError, Fatal
from engine.model.record import Scope
from engine.model.text import printable
from engine.reading.load import load_settings
from engine.runs.doctor.checks.finding import Finding, Level, block, ok
from engine.runs.doctor.doctor import DoctorOptions, Known, look_at_org, look_at_records
from engine.runs.shared.assembly import open_adapters
from engine.runs.shared.preflight import check_org
from engine.salesforce.connection import open_salesforce
from engine.settings import Settings

Answers = dict[str, Any]
"""Dotted settings and what was answered; secrets among them."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found, and settings to take over with it if the person agrees: question, setting, value."""

    findings: Sequence[Finding]
    offers: Sequence[tuple[str, str, str]] = ()


Check = Callable[[Settings, Clock], Coroutine[Any, Any, Trial]]
_NO_FLAG = re.compile(r"^\s*--[\w-]+: ", re.MULTILINE)
"""How a message names where a value comes from; answers come from no flag."""
RECORDS, FILES = 200, 2
"""How much of the source a trial looks at."""


class Person(Protocol):
    """Who answers."""

    def ask(self, text: str, default: str, *, secret: bool) -> str:
        """What was typed; ``default`` for nothing."""
        ...

    def agrees(self, text: str) -> bool: ...

    def show(self, findings: Sequence[Finding]) -> None: ...

    def tell(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Question:
    """For one setting. It is asked only ``of`` these ways to log in; none: of all."""

    way: str
    text: str
    default: str = ""
    secret: bool = False
    several: bool = False
    of: frozenset[str] = frozenset()

    def concerns(self, answers: Mapping[str, Any]) -> bool:
        return not self.of or answers.get("salesforce.auth") in self.of

    @property
    def variable(self) -> str:
        return "ENGINE_" + self.way.upper().replace(".", "__")


@dataclass(frozen=True, slots=True)
class Part:
    """Questions whose answers are tried together."""

    title: str
    questions: Sequence[Question]
    check: Check


def _of(*ways: str) -> frozenset[str]:
    return frozenset(ways)


_LOGIN = (
    Question(
        "salesforce.login_url", "Login URL: the org's My Domain, or its sandbox's", "https://login.salesforce.com"
    ),
    Question(
        "salesforce.auth",
        "How to log in: client_credentials, jwt, refresh_token, password, access_token or sf_cli",
        "client_credentials",
    ),
    Question(
        "salesforce.client_id",
        "Consumer key of the connected app",
        of=_of("client_credentials", "jwt", "refresh_token", "password"),
    ),
    Question(
        "salesforce.client_secret", "Its secret", secret=True, of=_of("client_credentials", "refresh_token", "password")
    ),
    Question("salesforce.jwt_key_file", "File with the private key, PEM", of=_of("jwt")),
    Question("salesforce.username", "User name", of=_of("jwt", "password")),
    Question("salesforce.password", "Password", secret=True, of=_of("password")),
    Question("salesforce.security_token", "Security token, if one is needed", secret=True, of=_of("password")),
    Question(
        "salesforce.refresh_token_file",
        "File with the refresh token; where the app rotates them, the newest one is written there",
        of=_of("refresh_token"),
    ),
    Question("salesforce.access_token", "Access token", secret=True, of=_of("access_token")),
    Question("salesforce.instance_url", "URL of the API", of=_of("access_token")),
    Question(
        "salesforce.target_org", "Alias or user name in the Salesforce CLI; nothing: its default", of=_of("sf_cli")
    ),
    Question("salesforce.object", "Object whose records hold the links", "DocListEntry__c"),
    Question("salesforce.url_field", "Its field with the link", "Document__c"),
)
_DESTINATION = (
    Question("destination.bucket", "Your bucket"),
    Question("destination.region", "Its region", "us-east-1"),
    Question("destination.endpoint_url", "S3 endpoint; nothing: AWS"),
    Question("destination.profile", "AWS profile; nothing: keys of the environment, or of this machine's role"),
)
_SOURCE = (
    Question("source.buckets", "The vendor's buckets, separated by commas", several=True),
    Question("source.region", "Their region", "us-east-1"),
    Question("source.endpoint_url", "S3 endpoint; nothing: AWS"),
    Question("source.profile", "AWS profile; nothing: keys of the environment, or of this machine's role"),
)
NOT_YET = {"destination.bucket": "not-asked-yet"}
"""So that settings are whole before their last question; nothing asks this bucket."""


@dataclass(slots=True)
class Interview:
    """One conversation. ``run`` drives a coroutine to its end; ``file`` is where the settings will be."""

    person: Person
    clock: Clock
    run: Callable[[Coroutine[Any, Any, Trial]], Trial]
    file: Path
    answers: Answers = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Answers that are tried and forgotten, by the variable that holds such a secret."""

    def hold(self) -> dict[tuple[str, ...], Any]:
        """Ask everything. What belongs into the file, by the way to each setting. Raises Usage."""
        for part in PARTS:
            self._part(part)
        return {tuple(way.split(".")): value for way, value in self.answers.items()}

    def last_words(self) -> str:
        """Where the secrets belong that were typed."""
        if not self.secrets:
            return ""
        names = ", ".join(sorted(self.secrets))
        return f"The secrets that you typed are not in the file. Before the next command, set {names}, or name files."

    def _part(self, part: Part) -> None:
        self.person.tell(f"\n{part.title}")
        while True:
            for question in part.questions:
                self._ask(question)
            trial = self._tried(part)
            self.person.show(trial.findings)
            bad = any(each.level is Level.BLOCK for each in trial.findings)
            if not bad or not self.person.agrees("Answer these again?"):
                break
        for text, way, value in trial.offers:
            if self.person.agrees(text):
                self.answers[way] = value

    def _ask(self, question: Question) -> None:
        if not question.concerns(self.answers):
            self.answers.pop(question.way, None)
            self.secrets.pop(question.variable, None)
            return
        if question.secret:
            known = os.environ.get(question.variable)
            given = f"not shown, not written; nothing: as in {question.variable}" if known else "not shown, not written"
            typed = self.person.ask(f"{question.text} ({given})", "", secret=True)
            if typed:
                self.secrets[question.variable] = typed
            return
        before = self.answers.get(question.way, question.default)
        shown = ", ".join(before) if isinstance(before, list) else before
        typed = self.person.ask(question.text, shown, secret=False).strip()
        value = [each.strip() for each in typed.split(",") if each.strip()] if question.several else typed
        if value:
            self.answers[question.way] = value
        else:
            self.answers.pop(question.way, None)

    def _tried(self, part: Part) -> Trial:
        try:
            settings = load_settings(None, environ=os.environ | self.secrets, overrides=NOT_YET | self._overrides())
            return self.run(part.check(settings, self.clock))
        except Fatal as error:
            return Trial([block("settings", _NO_FLAG.sub("", str(error)), error.hint)])
        except EngineError as error:
            return Trial([block("settings", str(error), "try again")])

    def _overrides(self) -> Answers:
        """Paths start at the file's folder, as they will when it is read."""
        files = {way: str(self.file.parent / path) for way, path in self.answers.items() if way.endswith("_file")}
        return self.answers | files


async def _login(settings: Settings, clock: Clock) -> Trial:
    async with open_salesforce(settings.salesforce, settings.network, clock) as salesforce:
        org, _, _, findings = await look_at_org(salesforce, clock, settings, Scope())
    if org is None:
        return Trial(findings)
    pin = f"Refuse every org but {printable(org.name)} ({org.id}) from now on?"
    return Trial(findings, [(pin, "salesforce.org_id", org.id)])


async def _bucket(settings: Settings, clock: Clock) -> Trial:
    """Nothing is written: doctor does that."""
    async with open_adapters(settings, clock, transport="fast") as adapters:
        await adapters.s3.destination.check()
    told = f"{settings.destination.bucket} answers; doctor also writes a small object there"
    return Trial([ok("destination", told)])


async def _source(settings: Settings, clock: Clock) -> Trial:
    options = DoctorOptions(Path(), scan=RECORDS, samples=FILES)
    async with open_adapters(settings, clock, transport="fast") as adapters:
        _, shape = await check_org(adapters.salesforce, Scope())
        return Trial(await look_at_records(adapters, shape, Scope(), options, Known()))


PARTS = (
    Part("Salesforce", _LOGIN, _login),
    Part("Your bucket", _DESTINATION, _bucket),
    Part("The vendor's bucket", _SOURCE, _source),
)
