"""Loading settings: which layer wins, and that every mistake is named with its place and its remedy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.model.command import in_words
from engine.model.errors import Blocked, Usage
from engine.reading.load import load_settings
from engine.settings import Settings

BUCKET = "destination: {bucket: my-documents}\n"


class Desk:
    """A folder with one settings file, and whatever else a test puts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "settings.yaml"

    def write(self, text: str | bytes, mode: int = 0o644) -> None:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.path.chmod(mode)

    def secret(self, text: str, mode: int = 0o600) -> Path:
        path = self.folder / "secret.txt"
        path.write_text(text)
        path.chmod(mode)
        return path

    def load(
        self,
        text: str | bytes | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
        mode: int = 0o644,
    ) -> Settings:
        if text is not None:
            self.write(text, mode)
        return load_settings(self.path, environ=environ or {}, overrides=flags or {})

    def complaint(self, text: str | bytes | None = None, **how: Any) -> str:
        with pytest.raises(Usage) as caught:
            self.load(text, **how)
        assert caught.value.exit_code == 2
        return str(caught.value).replace(f"{self.folder}{os.sep}", "")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class TestLayers:
    def test_defaults_hold_where_nobody_says_otherwise(self, desk: Desk) -> None:
        settings = desk.load(BUCKET)

        assert (settings.migration.concurrency, settings.salesforce.object) == (200, "DocListEntry__c")

    def test_a_flag_beats_the_environment_which_beats_the_file(self, desk: Desk) -> None:
        text = BUCKET + "migration: {concurrency: 1, queue_size: 1, batch_size: 1}\n"
        environ = {"ENGINE_MIGRATION__CONCURRENCY": "2", "ENGINE_MIGRATION__QUEUE_SIZE": "2"}

        migration = desk.load(text, environ=environ, flags={"migration.concurrency": 3}).migration

        assert (migration.concurrency, migration.queue_size, migration.batch_size) == (3, 2, 1)

    def test_a_flag_that_was_not_given_changes_nothing(self, desk: Desk) -> None:
        assert desk.load(BUCKET, flags={"migration.concurrency": None}).migration.concurrency == 200

    def test_the_environment_alone_is_enough(self) -> None:
        settings = load_settings(None, environ={"ENGINE_DESTINATION__BUCKET": "my-documents"}, overrides={})

        assert settings.destination.bucket == "my-documents"

    def test_a_file_that_need_not_exist_may_be_absent(self, tmp_path: Path) -> None:
        environ = {"ENGINE_DESTINATION__BUCKET": "my-documents"}

        settings = load_settings(tmp_path / "no.yaml", environ=environ, overrides={}, must_exist=False)

        assert settings.destination.bucket == "my-documents"

    @pytest.mark.parametrize(
        "text", ['["one-bucket", "two-bucket"]', "one-bucket, two-bucket", "one-bucket,two-bucket,"]
    )
    def test_a_list_in_the_environment_is_json_or_separated_by_commas(self, desk: Desk, text: str) -> None:
        assert desk.load(BUCKET, environ={"ENGINE_SOURCE__BUCKETS": text}).source.buckets == [
            "one-bucket",
            "two-bucket",
        ]

    def test_waves_in_the_environment_are_counts_and_shares(self, desk: Desk) -> None:
        assert desk.load(BUCKET, environ={"ENGINE_SWITCH__WAVES": "1,50,10%,100%"}).switch.waves == [
            1,
            50,
            "10%",
            "100%",
        ]

    def test_an_empty_variable_counts_as_not_set(self, desk: Desk) -> None:
        assert desk.load(BUCKET, environ={"ENGINE_MIGRATION__CONCURRENCY": " "}).migration.concurrency == 200

    def test_null_in_the_environment_empties_what_may_be_empty(self, desk: Desk) -> None:
        text = BUCKET + "source: {profile: vendor, resolver: {url: 'https://v/{Id}'}}\n"

        source = desk.load(text, environ={"ENGINE_SOURCE__PROFILE": "null", "ENGINE_SOURCE__RESOLVER": "null"}).source

        assert (source.profile, source.resolver) == (None, None)

    def test_a_variable_below_a_section_that_the_file_leaves_null_makes_the_section(self, desk: Desk) -> None:
        text, environ = BUCKET + "source: {resolver: null}\n", {"ENGINE_SOURCE__RESOLVER__URL": "https://v/{Id}"}

        resolver = desk.load(text, environ=environ).source.resolver

        assert resolver is not None
        assert resolver.url == "https://v/{Id}"

    def test_prices_come_as_json_from_the_environment(self, desk: Desk) -> None:
        assert desk.load(BUCKET, environ={"ENGINE_PRICES": '{"put": 0.005}'}).prices == {"put": 0.005}

    def test_other_programs_variables_are_left_alone(self, desk: Desk) -> None:
        assert desk.load(BUCKET, environ={"MIGRATION__CONCURRENCY": "x", "ENGINE_CONFIG": "other.yaml"})

    def test_a_section_whose_keys_are_all_commented_out_keeps_its_defaults(self, desk: Desk) -> None:
        assert desk.load(BUCKET + "migration:\n  # concurrency: 5\n").migration.concurrency == 200


class TestMistakes:
    def test_all_of_them_are_named_at_once_each_with_its_place(self, desk: Desk) -> None:
        desk.write("migration:\n  concurrency: 0\n  concurency: 5\nsource:\n  region: NO\nlogging: {level: loud}\n")

        complaint = desk.complaint(
            environ={"ENGINE_MIGRATION__QUEUE_SIZE": "many", "ENGINE_SORCE__REGION": "x"},
            flags={"migration.max_attempts": 0},
        )

        assert complaint.splitlines() == [
            "8 problems with the settings:",
            "  settings.yaml:2: migration.concurrency is 0; it must be at least 1",
            "  settings.yaml:3: 'migration.concurency' is not a setting; the nearest is migration.concurrency",
            '  settings.yaml:5: source.region is read by YAML as a truth value; put it in quotes: "NO"',
            "  settings.yaml:6: logging.level is 'loud'; it must be 'debug', 'info', 'warning' or 'error'",
            "  ENGINE_SORCE__REGION: not a setting; the nearest is ENGINE_SOURCE__REGION",
            "  settings.yaml: destination.bucket is missing; write it there, or set ENGINE_DESTINATION__BUCKET",
            "  ENGINE_MIGRATION__QUEUE_SIZE: migration.queue_size is 'many'; it must be a whole number",
            "  --max-attempts: migration.max_attempts is 0; it must be at least 1",
        ]

    def test_a_setting_of_an_earlier_version_is_named_as_removed(self, desk: Desk) -> None:
        complaint = desk.complaint(
            BUCKET + "switch:\n  bulk_rollback_from: 50000\n", environ={"ENGINE_SWITCH__BULK_ROLLBACK_FROM": "5"}
        )
        why = "was removed: a rollback no longer uses bulk jobs"
        assert f": switch.bulk_rollback_from {why}; delete this line" in complaint
        assert f"ENGINE_SWITCH__BULK_ROLLBACK_FROM: {why}; unset it" in complaint

    def test_a_removed_setting_that_asked_for_nothing_is_no_fault(self, desk: Desk) -> None:
        """Every settings file that an earlier ``engine init`` wrote holds such a line."""
        assert desk.load(BUCKET + "switch:\n  bulk_rollback_from: null\n").destination.bucket

    @pytest.mark.parametrize(
        ("line", "near"),
        [
            ("migration: {concurency: 5}", "migration.concurrency"),
            ("concurrency: 5", "migration.concurrency"),
            ("source: {bucket: x}", "source.buckets"),
            ("salesforce: {clientid: x}", "salesforce.client_id"),
            ("salesforce: {client_secret_fil: x}", "salesforce.client_secret_file"),
            ("source: {resolver: {uri: x, url: 'https://v'}}", "source.resolver.url"),
        ],
    )
    def test_an_unknown_key_names_the_nearest_known_one(self, desk: Desk, line: str, near: str) -> None:
        assert desk.complaint(BUCKET + line).endswith(f"is not a setting; the nearest is {near}")

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("ENGINE_DESTINATION_REGION", "ENGINE_DESTINATION__REGION"),
            ("ENGINE_SALESFORCE__CLIENT_SECRT", "ENGINE_SALESFORCE__CLIENT_SECRET"),
            ("ENGINE_CONCURRENCY", "ENGINE_MIGRATION__CONCURRENCY"),
        ],
    )
    def test_an_unknown_variable_names_the_nearest_and_not_its_value(self, desk: Desk, name: str, near: str) -> None:
        assert desk.complaint(BUCKET, environ={name: "hunter2"}) == f"{name}: not a setting; the nearest is {near}"

    def test_a_section_is_no_variable(self, desk: Desk) -> None:
        assert "ENGINE_SALESFORCE__LOGIN_URL" in desk.complaint(BUCKET, environ={"ENGINE_SALESFORCE": "{}"})

    def test_a_flag_is_named_as_it_is_typed(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET, flags={"migration.part_size_mb": 1})

        assert complaint == "--part-size-mb: migration.part_size_mb is 1; it must be at least 5"

    def test_settings_that_do_not_go_together_are_all_named(self, desk: Desk) -> None:
        complaint = desk.complaint(
            "destination: {bucket: my-documents, kms_key_id: k, endpoint_url: 'http://minio.example'}\n"
            "salesforce: {login_url: 'ftp://x', instance_url: 'https://u:hunter2@x'}\n"
            "migration: {test_single_account: true}\n"
        )

        assert complaint.count("\n") == 5
        assert "settings.yaml:1: destination.kms_key_id needs sse: aws:kms" in complaint
        assert (
            "destination.endpoint_url is plain http to minio.example: use https, or set `insecure: true`" in complaint
        )
        assert "settings.yaml:2: salesforce.login_url must be an http(s) URL" in complaint
        assert "salesforce.instance_url must not hold a user name or password" in complaint
        assert "settings.yaml:3: migration.test_single_account is on, but test_account_id names no account" in complaint
        assert "hunter2" not in complaint

    def test_a_fault_between_sections_is_named_beside_a_fault_in_another(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET + "source: {buckets: [my-documents]}\nmigration: {checksum: md5}\n")

        assert "destination.bucket is also a source bucket" in complaint
        assert "migration.checksum is 'md5'" in complaint

    @pytest.mark.parametrize("spelt", ["http://127.0.0.1:9000/", "http://localhost:9000", "HTTP://127.0.0.1:9000"])
    def test_the_destination_is_no_source_however_its_endpoint_is_spelt(self, desk: Desk, spelt: str) -> None:
        complaint = desk.complaint(
            "destination: {bucket: my-documents, endpoint_url: 'http://127.0.0.1:9000'}\n"
            f"source: {{buckets: [my-documents], endpoint_url: '{spelt}'}}\n"
        )

        assert "destination.bucket is also a source bucket" in complaint

    def test_a_key_written_twice_is_an_error(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET + "migration:\n  concurrency: 5\n  concurrency: 6\n")

        assert complaint == "settings.yaml:4: migration.concurrency is written twice, first on line 3; keep one"


class TestFile:
    def test_a_missing_file_says_what_writes_one(self, tmp_path: Path) -> None:
        with pytest.raises(Usage, match=r"no\.yaml: there is no such file; --config names another") as caught:
            load_settings(tmp_path / "no.yaml", environ={}, overrides={})

        assert "\n" not in str(caught.value)
        assert in_words(caught.value.hint) == "engine init   writes a commented one"

    def test_a_folder_is_no_settings_file(self, tmp_path: Path) -> None:
        with pytest.raises(Usage, match="cannot be read: Is a directory"):
            load_settings(tmp_path, environ={}, overrides={})

    def test_a_file_that_cannot_be_opened_says_why(self, desk: Desk) -> None:
        desk.write(BUCKET)

        with pytest.raises(Usage, match="cannot be read: Not a directory; --config names another file"):
            load_settings(desk.path / "below.yaml", environ={}, overrides={})

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "settings.yaml: is empty"),
            ("# nothing\n---\n", "settings.yaml: is empty"),
            ("- a\n- b\n", "settings.yaml:1: holds no `key: value` lines at its top"),
            ("hello\n", "settings.yaml:1: holds no `key: value` lines at its top"),
            (BUCKET + "salesforce:\n\tauth: jwt\n", "settings.yaml:3:1: holds a tab; indent with spaces"),
            (BUCKET + "a: b: c\n", "settings.yaml:2:5: not valid YAML: mapping values are not allowed here"),
            (BUCKET + "source: [\n", "settings.yaml:3:1: not valid YAML: expected the node content"),
            (BUCKET + "---\na: b\n", "settings.yaml:2:1: not valid YAML: expected a single document"),
            (b"destination:\n  bucket: \xff\n", "settings.yaml:2: is not UTF-8 text"),
            (BUCKET + "where: \x07\n", "settings.yaml:2: holds a control character"),
            ("[" * 5000, "settings.yaml: is nested too deep"),
            ("#" * 1_000_001, "settings.yaml: is larger than 1,000,000 bytes"),
            (BUCKET + "salesforce: {password: *hunter2}\n", "settings.yaml:2:24: not valid YAML: aliases (*name)"),
            (BUCKET + "salesforce: {password: !hunter2 x}\n", "settings.yaml:2: salesforce.password looks like a"),
            (
                BUCKET + "salesforce: !hunter2!x {}\n",
                "settings.yaml:2:13: not valid YAML: found undefined tag handle …",
            ),
        ],
    )
    def test_what_is_not_a_settings_file_is_named_with_its_line(
        self, desk: Desk, text: str | bytes, expected: str
    ) -> None:
        complaint = desk.complaint(text)

        assert complaint.startswith(expected)
        assert "hunter2" not in complaint
        assert "\n" not in complaint

    def test_a_byte_order_mark_is_harmless(self, desk: Desk) -> None:
        assert desk.load(b"\xef\xbb\xbf" + BUCKET.encode()).destination.bucket == "my-documents"


class TestYaml:
    @pytest.mark.parametrize("written", ["62.0", "62", '"62.0"', "'62'"])
    def test_an_api_version_needs_no_quotes(self, desk: Desk, written: str) -> None:
        assert desk.load(BUCKET + f"salesforce: {{api_version: {written}}}\n").salesforce.api_version == "62.0"

    @pytest.mark.parametrize("written", ["62.5", "v62.0", "true", "2024-01-01"])
    def test_what_is_no_api_version_is_refused(self, desk: Desk, written: str) -> None:
        complaint = desk.complaint(BUCKET + f"salesforce: {{api_version: {written}}}\n")

        assert "salesforce.api_version" in complaint

    @pytest.mark.parametrize(
        ("setting", "kind", "quoted"),
        [
            ("migration: {test_account_id: 0013000000}", "a number", "0013000000"),
            ("migration: {test_account_id: 1e5}", None, None),
            ("migration: {test_account_id: 0x1F}", "a number", "0x1F"),
            ("migration: {allowed_extensions: [.pdf, .001]}", "a number", ".001"),
            ("source: {buckets: [123456]}", "a number", "123456"),
            ("source: {region: NO}", "a truth value", "NO"),
            ("salesforce: {where: 2024-01-01}", "a date", "2024-01-01"),
            ("logging: {level: off}", "a truth value", "off"),
            ("tracking: {database: 7}", "a number", "7"),
            ("source: {buckets: [~]}", "nothing", "~"),
        ],
    )
    def test_text_that_yaml_reads_as_something_else_must_be_quoted(
        self, desk: Desk, setting: str, kind: str | None, quoted: str | None
    ) -> None:
        if kind is None:
            assert desk.load(BUCKET + setting).migration.test_account_id == "1e5"
            return
        assert desk.complaint(BUCKET + setting).endswith(f'is read by YAML as {kind}; put it in quotes: "{quoted}"')

    @pytest.mark.parametrize(("written", "meant"), [("yes", True), ("on", True), ("off", False), ("false", False)])
    def test_yes_and_no_are_truths_where_a_truth_is_wanted(self, desk: Desk, written: str, meant: bool) -> None:
        assert desk.load(BUCKET + f"migration: {{dry_run: {written}}}").migration.dry_run is meant

    def test_a_truth_is_no_number(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET + "migration: {concurrency: yes, error_budget: on}")

        assert "migration.concurrency must be a number, and YAML reads yes as true" in complaint
        assert "migration.error_budget must be a number, and YAML reads on as true" in complaint

    def test_a_tilde_is_null(self, desk: Desk) -> None:
        assert desk.load(BUCKET + "source: {profile: ~}").source.profile is None

    @pytest.mark.parametrize("nothing", ["", "~", "null"])
    def test_a_setting_that_cannot_be_null_wants_a_value(self, desk: Desk, nothing: str) -> None:
        complaint = desk.complaint(BUCKET + f"migration:\n  concurrency: {nothing}\n")

        assert complaint == "settings.yaml:3: migration.concurrency has no value; write one or delete the line"

    def test_a_tilde_in_a_path_is_the_home_directory(self, desk: Desk) -> None:
        assert desk.load(BUCKET + "logging: {directory: ~/logs}").logging.directory == Path.home() / "logs"

    @pytest.mark.parametrize("number", [".inf", ".nan", "-1"])
    def test_no_limit_is_infinite_or_negative(self, desk: Desk, number: str) -> None:
        assert "max_file_size_mb" in desk.complaint(BUCKET + f"migration: {{max_file_size_mb: {number}}}")

    def test_one_value_where_a_list_belongs_is_an_error(self, desk: Desk) -> None:
        assert desk.complaint(BUCKET + "source: {buckets: vendor}").endswith(
            "source.buckets must be a list, such as [a, b]"
        )

    def test_a_template_without_quotes_is_explained(self, desk: Desk) -> None:
        assert "in quotes" in desk.complaint("destination:\n  bucket: my-documents\n  key_template: {record_id}\n")


class TestSecrets:
    def test_the_environment_gives_one(self, desk: Desk) -> None:
        secret = desk.load(BUCKET, environ={"ENGINE_SALESFORCE__CLIENT_SECRET": "hunter2"}).salesforce.client_secret

        assert secret is not None
        assert secret.get_secret_value() == "hunter2"

    @pytest.mark.parametrize("where", ["file", "environment"])
    def test_a_file_of_its_own_gives_one_without_its_line_end(self, desk: Desk, where: str) -> None:
        path = desk.secret("hunter2\n")
        text = BUCKET + (f"salesforce: {{client_secret_file: {path}}}\n" if where == "file" else "")
        environ = {"ENGINE_SALESFORCE__CLIENT_SECRET_FILE": str(path)} if where == "environment" else {}

        secret = desk.load(text, environ=environ).salesforce.client_secret

        assert secret is not None
        assert secret.get_secret_value() == "hunter2"

    def test_a_refresh_tokens_file_is_known_too_since_new_tokens_are_written_into_it(self, desk: Desk) -> None:
        path = desk.secret("hunter2\n")

        found = desk.load(BUCKET + f"salesforce: {{refresh_token_file: {path}}}\n").salesforce

        assert found.refresh_token is not None
        assert found.refresh_token.get_secret_value() == "hunter2"
        assert found.refresh_token_file == path

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
    def test_one_in_the_settings_needs_a_private_file(self, desk: Desk, mode: int) -> None:
        complaint = desk.complaint(BUCKET + "salesforce: {client_secret: hunter2}\n", mode=mode)

        assert "settings.yaml:2: salesforce.client_secret is a secret, and the file's mode is" in complaint
        assert "chmod 600" in complaint
        assert "ENGINE_SALESFORCE__CLIENT_SECRET" in complaint
        assert "hunter2" not in complaint

    @pytest.mark.parametrize("mode", [0o600, 0o400])
    def test_one_in_a_private_settings_file_is_taken(self, desk: Desk, mode: int) -> None:
        assert desk.load(BUCKET + "salesforce: {client_secret: hunter2}\n", mode=mode).salesforce.client_secret

    def test_both_ways_at_once_is_an_error(self, desk: Desk) -> None:
        path = desk.secret("hunter2")

        complaint = desk.complaint(
            BUCKET + f"salesforce: {{client_secret_file: {path}}}",
            environ={"ENGINE_SALESFORCE__CLIENT_SECRET": "x" * 9},
        )

        assert complaint == (
            "settings.yaml:2: salesforce.client_secret_file: salesforce.client_secret is also given "
            "(ENGINE_SALESFORCE__CLIENT_SECRET); keep one of the two"
        )

    @pytest.mark.parametrize(
        ("content", "mode", "expected"),
        [
            (" \n", 0o600, "is empty; write the secret into it"),
            ("hunter2", 0o644, "may be used by others (mode 0644): chmod 600 "),
            ("hunter2", 0o660, "may be used by others (mode 0660): chmod 600 "),
            ("h" * 70_000, 0o600, "holds more than 65,536 bytes"),
        ],
    )
    def test_a_secret_file_that_cannot_be_used_says_why(
        self, desk: Desk, content: str, mode: int, expected: str
    ) -> None:
        environ = {"ENGINE_SALESFORCE__PASSWORD_FILE": str(desk.secret(content, mode))}

        complaint = desk.complaint(BUCKET, environ=environ)

        assert complaint.startswith("ENGINE_SALESFORCE__PASSWORD_FILE: salesforce.password_file: secret.txt ")
        assert expected in complaint
        assert "hunter2" not in complaint

    def test_a_secret_file_that_is_missing_says_so(self, desk: Desk) -> None:
        assert "cannot be read: No such file" in desk.complaint(BUCKET + "source: {session_token_file: /no/such}\n")

    def test_a_credential_that_systemd_hands_over_may_show_the_groups_bit(self, desk: Desk) -> None:
        path = desk.secret("hunter2", 0o440)
        environ = {"ENGINE_SALESFORCE__PASSWORD_FILE": str(path), "CREDENTIALS_DIRECTORY": str(desk.folder)}

        assert desk.load(BUCKET, environ=environ).salesforce.password

    def test_a_flag_never_carries_one(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET, flags={"salesforce.password": "hunter2"})

        assert "ENGINE_SALESFORCE__PASSWORD" in complaint
        assert "hunter2" not in complaint

    def test_a_number_for_a_secret_is_not_repeated(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET + "salesforce: {password: 12345678}\n", mode=0o600)

        assert "put it in quotes" in complaint
        assert "12345678" not in complaint

    def test_a_secret_of_the_wrong_kind_in_the_environment_is_not_repeated(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET, environ={"ENGINE_SOURCE__ACCESS_KEY_ID": "hunter2"})

        assert "access_key_id goes together with secret_access_key" in complaint
        assert "hunter2" not in complaint


class TestProxy:
    URL = "http://user:hunter2@proxy.example:3128"

    def test_with_a_password_it_needs_a_private_file(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET + f"network: {{proxy: '{self.URL}'}}\n")

        assert "network.proxy holds a user name or password" in complaint
        assert "ENGINE_NETWORK__PROXY" in complaint
        assert "hunter2" not in complaint

    def test_without_one_it_may_stand_anywhere(self, desk: Desk) -> None:
        assert desk.load(BUCKET + "network: {proxy: 'http://proxy.example:3128'}").network.proxy

    def test_the_adapters_get_it_whole_and_nobody_else_does(self, desk: Desk) -> None:
        settings = desk.load(BUCKET, environ={"ENGINE_NETWORK__PROXY": self.URL})

        assert settings.network.proxy == self.URL
        for shown in (repr(settings), str(settings), str(settings.snapshot()), str(settings.model_dump())):
            assert "hunter2" not in shown
            assert "http://…@proxy.example:3128" in shown

    @pytest.mark.parametrize("url", ["user:hunter2@proxy:3128", "ftp://user:hunter2@proxy", "http://user:hunter2@"])
    def test_one_that_is_no_url_is_refused_without_being_repeated(self, desk: Desk, url: str) -> None:
        complaint = desk.complaint(BUCKET, environ={"ENGINE_NETWORK__PROXY": url})

        assert complaint.startswith("ENGINE_NETWORK__PROXY: network.proxy must be a URL such as")
        assert "hunter2" not in complaint


class TestPlaces:
    """A relative path starts at the settings file's folder, whoever gives it and wherever a command is started."""

    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path_factory.mktemp("elsewhere")
        monkeypatch.chdir(folder)
        return folder

    def test_the_defaults_do(self, desk: Desk) -> None:
        settings = desk.load(BUCKET)

        assert settings.tracking.database == desk.folder / "migration_tracking.db"
        assert settings.logging.directory == desk.folder / "logs"

    def test_what_the_file_and_the_environment_say_does(self, desk: Desk) -> None:
        desk.secret("hunter2")
        text = BUCKET + "tracking: {database: sub/t.db}\nsalesforce: {client_secret_file: secret.txt}\n"
        environ = {"ENGINE_LOGGING__DIRECTORY": "../logs", "ENGINE_NETWORK__CA_FILE": "/etc/ca.pem"}
        settings = desk.load(text + "switch: {journal_key_file: ~/key}", environ=environ)

        assert settings.tracking.database == desk.folder / "sub" / "t.db"
        assert settings.logging.directory == desk.folder / "../logs"
        assert settings.salesforce.client_secret.get_secret_value() == "hunter2"  # type: ignore[union-attr]
        assert settings.network.ca_file == Path("/etc/ca.pem")
        assert settings.switch.journal_key_file == Path("~/key").expanduser()

    def test_a_settings_file_that_is_named_from_where_one_stands_keeps_its_folder(
        self, desk: Desk, elsewhere: Path
    ) -> None:
        desk.write(BUCKET)
        relative = Path(os.path.relpath(desk.path, elsewhere))
        settings = load_settings(relative, environ={}, overrides={})

        assert settings.tracking.database == desk.folder / "migration_tracking.db"

    def test_a_database_where_earlier_versions_looked_is_never_passed_over(self, desk: Desk, elsewhere: Path) -> None:
        (elsewhere / "migration_tracking.db").touch()

        with pytest.raises(Blocked) as caught:
            desk.load(BUCKET)
        assert f"at {desk.folder}/migration_tracking.db, but there is one at {elsewhere}/" in str(caught.value)

        named = BUCKET + f"tracking: {{database: {desk.folder}/t.db}}"
        assert desk.load(named).tracking.database == desk.folder / "t.db"
        (desk.folder / "migration_tracking.db").touch()
        assert desk.load(BUCKET).tracking.database == desk.folder / "migration_tracking.db"


class TestLoopbackOnly:
    """Settings of a rehearsal: they reach this machine alone, and nothing that is exported has a say."""

    TEXT = """\
network: {loopback_only: true}
salesforce: {login_url: "http://127.0.0.1:1"}
source: {endpoint_url: "http://localhost:2", access_key_id: k, secret_access_key: s}
destination: {bucket: ours, endpoint_url: "http://[::1]:2", access_key_id: k, secret_access_key: s}
"""

    def test_the_environment_is_not_asked(self, desk: Desk) -> None:
        environ = {
            "ENGINE_SALESFORCE__LOGIN_URL": "http://127.0.0.1:9",
            "ENGINE_NETWORK__LOOPBACK_ONLY": "false",
            "ENGINE_NO_SUCH__SETTING": "x",
        }
        settings = desk.load(self.TEXT, environ=environ, mode=0o600)

        assert settings.salesforce.login_url == "http://127.0.0.1:1"
        assert settings.network.loopback_only

    @pytest.mark.parametrize(
        ("flags", "blamed"),
        [
            ({"salesforce.login_url": "https://mydomain.my.salesforce.com"}, "salesforce.login_url leads beyond"),
            ({"salesforce.instance_url": "https://127.0.0.1.example"}, "salesforce.instance_url leads beyond"),
            ({"salesforce.auth": "sf_cli"}, "salesforce.auth takes its org from elsewhere"),
            ({"source.endpoint_url": "https://s3.example"}, "source.endpoint_url leads beyond"),
            ({"source.allowed_hosts": ["127.0.0.1:1", "vendor.example"]}, "source.allowed_hosts leads beyond"),
            ({"source.resolver.url": "https://vendor.example/{Id}"}, "source.resolver.url leads beyond"),
            ({"destination.endpoint_url": "https://10.0.0.1"}, "destination.endpoint_url leads beyond"),
            ({"network.proxy": "http://proxy.example:3128"}, "network.proxy leads beyond"),
        ],
    )
    def test_what_leads_beyond_this_machine_is_refused(self, desk: Desk, flags: dict[str, Any], blamed: str) -> None:
        assert f"{blamed}" in desk.complaint(self.TEXT, flags=flags, mode=0o600)

    def test_aws_and_the_keys_that_it_would_look_for_are_refused(self, desk: Desk) -> None:
        complaint = desk.complaint(BUCKET + "network: {loopback_only: true}")

        for key in ("endpoint_url leads beyond", "access_key_id is missing"):
            assert f"source.{key}" in complaint
            assert f"destination.{key}" in complaint


def test_a_snapshot_is_json_without_any_secret(desk: Desk) -> None:
    import orjson

    environ = {
        "ENGINE_SALESFORCE__CLIENT_SECRET": "hunter2",
        "ENGINE_SOURCE__RESOLVER__URL": "https://v/{Id}?key=hunter2",
    }

    snapshot = desk.load(BUCKET + "prices: {as_of: 2026-01-01}\n", environ=environ).snapshot()

    assert b"hunter2" not in orjson.dumps(snapshot)
    assert "client_secret" not in snapshot["salesforce"]
    assert snapshot["source"]["resolver"]["url"] == "https://v/{Id}?…"
    assert snapshot["prices"] == {"as_of": "2026-01-01"}
