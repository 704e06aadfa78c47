"""The log: what is written where, what never is, and that no disk can stop a run."""

from __future__ import annotations

import io
import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from engine.log import Log, configure, crash_file, secret_values
from engine.log_file import LogFile, open_new
from engine.model.errors import Usage
from engine.reading.load import load_settings
from engine.redaction import MAX_TEXT, Redactor

CANARY = "c4n4ry-hunter2-s3cret"


class Ticking:
    """A clock that moves one second at every look."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def random(self) -> float:
        return 0.5


class FullDisk:
    """Opens files of a disk that is full until ``room`` is set."""

    def __init__(self) -> None:
        self.room = False

    def __call__(self, path: Path) -> int:
        return open_new(path) if self.room else os.open("/dev/full", os.O_WRONLY)


class Desk:
    """A configured log with its two outputs at hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stream = io.StringIO()
        self._log: Log | None = None

    def start(self, level: str = "debug", *, tty: bool = False, redact: set[str] | None = None, run_id: int = 7) -> Log:
        self._log = configure(
            self.directory, level, tty=tty, run_id=run_id, redact=redact or set(), clock=Ticking(), stream=self.stream
        )
        return self._log

    def stop(self) -> None:
        if self._log:
            self._log.close()

    def raw(self) -> str:
        return "".join(path.read_text() for path in self._files())

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob("engine-*.log"), key=lambda path: path.stat().st_mtime_ns)

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.raw().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "logs")
    yield desk
    desk.stop()


class TestLines:
    def test_an_event_is_one_line_of_json_with_time_level_and_run(self, desk: Desk) -> None:
        desk.start()
        structlog.get_logger().info("page read", records=200)

        assert desk.lines() == [
            {"at": "2026-11-22T10:00:01.000Z", "level": "info", "event": "page read", "records": 200, "run_id": 7}
        ]

    def test_what_is_bound_once_is_on_every_line(self, desk: Desk) -> None:
        desk.start()
        with structlog.contextvars.bound_contextvars(run_type="backup"):
            structlog.get_logger().info("a")
            logging.getLogger("botocore").warning("b")

        assert [(line["run_type"], line["run_id"]) for line in desk.lines()] == [("backup", 7), ("backup", 7)]

    def test_events_below_the_level_are_not_written(self, desk: Desk) -> None:
        desk.start("warning")
        structlog.get_logger().info("quiet")
        structlog.get_logger().warning("loud")

        assert [line["event"] for line in desk.lines()] == ["loud"]

    def test_only_warnings_and_errors_are_said_on_stderr(self, desk: Desk) -> None:
        desk.start()
        for level in ("debug", "info", "warning", "error"):
            getattr(structlog.get_logger(), level)(f"{level} here", key="a/b.pdf")

        assert desk.stream.getvalue() == "warning: warning here key=a/b.pdf\nerror: error here key=a/b.pdf\n"

    def test_library_chatter_stays_out_and_library_warnings_come_in(self, desk: Desk) -> None:
        desk.start()
        for name in ("botocore.auth", "aiohttp.client", "aiosqlite"):
            logging.getLogger(name).debug("chatter")
            logging.getLogger(name).info("chatter")
            logging.getLogger(name).warning("%s is odd", "this")

        assert [(line["logger"], line["event"]) for line in desk.lines()] == [
            ("botocore.auth", "this is odd"),
            ("aiohttp.client", "this is odd"),
            ("aiosqlite", "this is odd"),
        ]

    def test_a_library_message_whose_arguments_do_not_fit_is_still_logged(self, desk: Desk) -> None:
        desk.start()
        record = logging.LogRecord("aiohttp", logging.WARNING, __file__, 1, "%d files", ("many",), None)
        ours = next(handler for handler in logging.getLogger().handlers if type(handler).__module__ == "engine.log")
        ours.handle(record)

        assert desk.lines()[0]["event"] == "%d files"

    def test_an_exception_is_type_message_and_frames(self, desk: Desk) -> None:
        desk.start()
        fail_with(ValueError("no such shape"), structlog.get_logger())

        exception = desk.lines()[0]["exception"]
        assert (exception["type"], exception["message"]) == ("builtins.ValueError", "no such shape")
        assert exception["frames"][-1].endswith("fail_with")
        assert exception["cause"]["type"] == "builtins.KeyError"
        assert "(ValueError: no such shape)" in desk.stream.getvalue()

    def test_the_errors_within_a_group_are_all_shown(self, desk: Desk) -> None:
        desk.start()
        group = ExceptionGroup("crew", [ValueError("a"), OSError("b")])
        structlog.get_logger().error("crew failed", exc_info=group)

        assert [error["message"] for error in desk.lines()[0]["exception"]["errors"]] == ["a", "b"]

    def test_anything_may_be_a_value(self, desk: Desk) -> None:
        desk.start()
        structlog.get_logger().info(
            "odd", path=Path("/x"), big=2**70, lone="\ud800", many=set(range(3)), raw=b"xyz", o=object()
        )

        line = desk.lines()[0]
        assert (line["path"], line["big"], line["raw"], line["o"]) == ("/x", str(2**70), "<3 bytes>", "<object>")

    @pytest.mark.parametrize(
        ("tty", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
    )
    def test_colours_only_on_a_terminal_that_wants_them(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, tty: bool, no_color: str, coloured: bool
    ) -> None:
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm")
        desk.start(tty=tty)
        structlog.get_logger().warning("look")

        assert ("\x1b[" in desk.stream.getvalue()) is coloured

    def test_escape_codes_in_names_reach_neither_terminal_nor_file(self, desk: Desk) -> None:
        desk.start()
        structlog.get_logger().warning("odd name", name="a\x1b[2Jb\x9b31mc\x7f")

        assert desk.stream.getvalue() == "warning: odd name name=abc\n"
        assert not {"\x1b", "\x9b", "\x7f"} & set(desk.raw())
        assert desk.lines()[0]["name"] == "a\x1b[2Jb\x9b31mc\x7f"

    def test_a_closed_stderr_stops_nothing(self, desk: Desk) -> None:
        desk.start()
        desk.stream.close()
        structlog.get_logger().error("still here")

        assert desk.lines()[0]["event"] == "still here"

    def test_configuring_again_leaves_the_first_log_behind(self, desk: Desk) -> None:
        first = desk.start()
        structlog.get_logger().info("one")
        second = desk.start(run_id=8)
        structlog.get_logger().info("two")
        logging.getLogger("x").warning("three")

        assert [(line["event"], line["run_id"]) for line in desk.lines()] == [("one", 7), ("two", 8), ("three", 8)]
        assert first.file.path != second.file.path


def fail_with(error: Exception, log: Any) -> None:
    password = CANARY  # a local that no log may show
    try:
        try:
            {}[password[:0]]
        except KeyError as cause:
            raise error from cause
    except type(error):
        log.exception("failed")


class TestFiles:
    def test_files_and_folder_are_for_their_owner_alone(self, desk: Desk) -> None:
        log = desk.start()
        structlog.get_logger().info("x")

        assert log.file.path is not None
        assert log.file.path.name == f"engine-20261122-100002-{os.getpid()}.log"
        assert stat.S_IMODE(log.file.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(desk.directory.stat().st_mode) == 0o700

    def test_no_file_is_made_before_there_is_something_to_say(self, desk: Desk) -> None:
        desk.start()

        assert list(desk.directory.iterdir()) == []

    def test_a_file_where_the_folder_should_be_is_a_usage_error(self, tmp_path: Path) -> None:
        (tmp_path / "logs").write_text("")

        with pytest.raises(Usage, match=r"logging\.directory .* cannot be made: File exists"):
            configure(tmp_path / "logs", "info", tty=False, run_id=1, redact=())

    def test_the_log_rotates_and_the_oldest_files_go(self, tmp_path: Path) -> None:
        file = LogFile(tmp_path, Ticking(), complain=pytest.fail, file_bytes=1_000, total_bytes=5_000)
        for number in range(1_000):
            file.write(b"%90d" % number)
        file.close()

        files = sorted(tmp_path.iterdir())
        sizes = [path.stat().st_size for path in files]
        assert sum(sizes) <= 5_000
        assert max(sizes) <= 1_000
        assert len(files) >= 4
        assert files[-1].read_bytes().endswith(b"999\n")

    def test_two_files_within_a_second_get_two_names(self, tmp_path: Path) -> None:
        class Still(Ticking):
            def now(self) -> datetime:
                return self._now

        file = LogFile(tmp_path, Still(), complain=pytest.fail, file_bytes=10)
        for _ in range(3):
            file.write(b"123456789")
        file.close()

        assert len(list(tmp_path.iterdir())) == 3

    def test_a_full_disk_is_told_once_and_the_log_goes_on_when_there_is_room(self, tmp_path: Path) -> None:
        complaints: list[str] = []
        disk = FullDisk()
        file = LogFile(tmp_path, Ticking(), complain=complaints.append, file_bytes=100, open_new=disk)
        for _ in range(5):
            file.write(b"lost")
        disk.room = True
        file.write(b"x" * 101)  # the next file
        file.close()

        assert len(complaints) == 1
        assert complaints[0].endswith("No space left on device; the run goes on without these lines")
        assert file.path is not None
        assert file.path.read_bytes() == b"x" * 101 + b"\n"

    def test_a_folder_that_vanishes_stops_nothing(self, desk: Desk) -> None:
        desk.start()
        desk.directory.rmdir()
        structlog.get_logger().info("nowhere")
        structlog.get_logger().info("nowhere")

        assert desk.stream.getvalue().count("cannot log to") == 1


@dataclass
class Login:
    user: str
    key: str = field(repr=False)


class TestRedaction:
    @pytest.mark.parametrize(
        "text",
        [
            CANARY,
            "Authorization: Basic dXNlcjpodW50ZXIyaHVudGVyMg==",
            "headers={'Authorization': 'Bearer 00Dxx!AQ.abcdefghijkl'}",
            "Bearer c2VjcmV0LXNlY3JldA",
            "sid 00D5g000001AbCd!AQEAQPLkOb2x.ihHU0123456789abcdef",
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln",
            "eyJh.eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln",
            "AKIAIOSFODNN7EXAMPLE",
            "grant_type=password&client_secret=abc123&password=xyz",
            '{"access_token": "abcdef", "id": 1}',
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
            "X-Amz-Signature%3Dabc123",
        ],
    )
    def test_tokens_are_known_by_value_and_by_shape(self, text: str) -> None:
        shown = Redactor({CANARY}).text(f"failed: {text} (twice)")

        assert "[redacted]" in shown
        assert shown.startswith("failed: ")
        for piece in (
            CANARY,
            "dXNlcjpodW50",
            "AQ.abc",
            "c2VjcmV0",
            "ihHU0123",
            "c2ln",
            "IOSFODNN7",
            "abc123",
            "abcdef",
            "MIIE",
        ):
            assert piece not in shown

    @pytest.mark.parametrize(
        "text", ["next page token", "5 files of 0015g00000AbCdEAAV", "uploads/001/a00/Vertrag.pdf"]
    )
    def test_plain_words_stay(self, text: str) -> None:
        assert Redactor({CANARY}).text(text) == text

    def test_values_of_telling_keys_are_hidden_at_any_depth(self) -> None:
        plain = Redactor().plain({"a": [{"client_secret": "x", "Authorization": "y", "Set-Cookie": "z", "tokens": 3}]})

        assert plain == {
            "a": [
                {"client_secret": "[redacted]", "Authorization": "[redacted]", "Set-Cookie": "[redacted]", "tokens": 3}
            ]
        }

    def test_of_a_dataclass_only_what_its_repr_shows(self) -> None:
        assert Redactor().plain(Login("u", CANARY)) == {"user": "u"}

    def test_endless_and_huge_values_are_cut(self) -> None:
        loop: list[Any] = []
        loop.append(loop)

        plain = Redactor().plain({"loop": loop, "long": "x" * 10**6, "many": list(range(10**5))})

        assert len(orjson.dumps(plain)) < 20_000

    @pytest.mark.parametrize(
        "secret", [CANARY, CANARY * 40, f"bearer {CANARY}", "sid 00D5g000001AbCd!AQEAQPLkOb2x.ihHU0123456789"]
    )
    def test_no_secret_is_cut_in_two_where_a_value_is_cut(self, secret: str) -> None:
        redactor = Redactor({CANARY, CANARY * 40})
        for before in range(MAX_TEXT - len(secret) - 2, MAX_TEXT + 2):
            shown = redactor.plain(f"{'x ' * (before // 2)}{secret} {'y ' * 10_000}")
            assert len(shown) < MAX_TEXT + 100
            assert secret[-20:-8] not in shown
            assert secret[8:20] not in shown

    def test_a_secret_is_found_in_its_usual_spellings(self) -> None:
        secret = 'p"a/ss & wörd+='
        redactor = Redactor({secret})

        for spelling in (secret, "p%22a%2Fss%20%26%20w%C3%B6rd%2B%3D", 'p\\"a/ss & wörd+=', "cCJhL3NzICYgd8O2cmQrPQ=="):
            assert redactor.text(f"<{spelling}>") == "<[redacted]>"


class TestCrashFile:
    def test_it_holds_the_traceback_without_locals_and_secrets(self, desk: Desk) -> None:
        desk.start(redact={CANARY})
        try:
            raise RuntimeError(f"GET https://h/k?X-Amz-Signature=abc said {CANARY}")
        except RuntimeError as error:
            path = crash_file(desk.directory, error)

        text = path.read_text()
        assert path.parent == desk.directory
        assert path.name.startswith("crash-")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "RuntimeError: GET https://h/k?… said [redacted]" in text
        assert "test_log.py" in text
        assert CANARY not in text

    def test_it_finds_another_place_when_the_folder_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "logs").write_text("")
        elsewhere = tmp_path / "tmp"
        monkeypatch.setattr("tempfile.tempdir", str(elsewhere))

        assert crash_file(tmp_path / "logs", ValueError("x")).parent == elsewhere

    def test_old_ones_make_room(self, tmp_path: Path) -> None:
        for _ in range(60):
            crash_file(tmp_path, ValueError("x"))

        assert len(list(tmp_path.iterdir())) == 50


SECRET_VARIABLES = [
    *(f"SALESFORCE__{x}" for x in ("CLIENT_SECRET", "REFRESH_TOKEN", "PASSWORD", "SECURITY_TOKEN", "ACCESS_TOKEN")),
    *(
        f"{side}__{x}"
        for side in ("SOURCE", "DESTINATION")
        for x in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
    ),
    "SOURCE__RESOLVER__TOKEN",
]


def canary(number: int) -> str:
    return f"canary{number:02d}/+Zq 8ö\"'&"


def test_twenty_canaries_are_seen_nowhere(desk: Desk) -> None:
    """Every secret there is, and then some, through everything that writes something down."""
    environ = {f"ENGINE_{name}": canary(number) for number, name in enumerate(SECRET_VARIABLES)}
    environ |= {
        "ENGINE_DESTINATION__BUCKET": "my-documents",
        "ENGINE_SALESFORCE__CLIENT_ID": "a-client",
        "ENGINE_SOURCE__RESOLVER__URL": f"https://vendor.example/{{Id}}?key={canary(12)[:8]}",
        "ENGINE_NETWORK__PROXY": f"http://{canary(13)[:8]}:{canary(14)[:8]}@proxy.example:3128",
    }
    late = [canary(number) for number in range(15, 20)]
    settings = load_settings(None, environ=environ, overrides={})
    said = [
        repr(settings),
        str(settings),
        str(settings.snapshot()),
        str(settings.model_dump()),
        settings.model_dump_json(),
    ]
    said += [repr(settings.network), repr(settings.source.resolver)]
    for wrong in (
        {"ENGINE_MIGRATION__CONCURRENCY": "0"},
        {"ENGINE_SOURCE__PROFILE": "p"},
        {"ENGINE_NETWORK__PROXY": canary(14)},
    ):
        with pytest.raises(Usage) as caught:
            load_settings(None, environ=environ | wrong, overrides={"salesforce.password": canary(0)})
        said.append(repr(caught.value))

    desk.start("debug", redact=secret_values(settings).union(late))
    log = structlog.get_logger()
    for value in {**environ, **{f"late{n}": x for n, x in enumerate(late)}}.values():
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)(
                f"event with {value}", value=value, password=value, nested=[{"x": value}], key={value: 1}
            )
        logging.getLogger("botocore").error("signing with %r", value)
        try:
            raise RuntimeError(
                f"Invalid header {{'Authorization': 'Bearer {value}'}} at https://h/?sig={value}"
            ) from KeyError(value)
        except RuntimeError as error:
            log.exception("failed", error=error)
            logging.getLogger("aiohttp").exception("failed")
            said.append(crash_file(desk.directory, error).read_text())
    log.info("settings", settings=settings, network=settings.network, client=settings.salesforce.client_secret)
    said += [desk.raw(), desk.stream.getvalue()]

    assert len(desk.lines()) > 100
    assert [found for text in said for found in re.findall(r".{0,40}canary\d\d.{0,40}", text)] == []
