"""What ``deploy/`` holds is fit for use: settings load, units pass systemd's own checks, the container is not root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.reading.load import load_settings
from engine.runs.executors.hello import copying_settings
from engine.tracking.db.connect import open_reader
from tests.desk.database import some_of_everything
from tests.support.outcomes import record_id

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PROVIDERS = Path("/opt/tf-plugins")
"""Where Terraform's providers lie on this machine, if anywhere."""
ALONE = {**{k: v for k, v in os.environ.items() if not k.startswith("TF_")}, "CHECKPOINT_DISABLE": "1"}
QUIET: Any = {"capture_output": True, "text": True, "timeout": 100}
UNITS = sorted(DEPLOY.glob("systemd/*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
MOST_EXPOSED = 2.0
"""Of 10, by ``systemd-analyze security``. A service without any protection has 9.6."""


def named(path: Path) -> str:
    return path.name


def needs(tool: str) -> str:
    """The tool's path; where it is absent, the test is skipped."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed here")
    return found


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


class TestSettings:
    def test_those_of_a_test_restrict_every_command(self) -> None:
        wanted = load_settings(DEPLOY / "settings/test.yaml", environ={}, overrides={}).migration

        assert (wanted.test_single_account, wanted.max_test_files, wanted.dry_run) == (True, 5, True)

    def test_those_of_production_restrict_nothing_but_what_the_original_left_out(self) -> None:
        wanted = load_settings(DEPLOY / "settings/production.yaml", environ={}, overrides={}).migration

        assert (wanted.test_single_account, wanted.max_test_files, wanted.dry_run) == (False, None, False)
        assert (wanted.max_file_size_mb, wanted.allowed_extensions) == (100, [".pdf", ".doc", ".docx", ".xlsx"])

    def test_those_of_a_worker_copy_as_production_does_and_know_nothing_of_salesforce(self) -> None:
        files = (DEPLOY / "settings/worker.yaml", DEPLOY / "settings/production.yaml")
        worker, run = (load_settings(file, environ={}, overrides={}) for file in files)

        assert copying_settings(worker) == copying_settings(run)
        assert "salesforce" not in yaml.safe_load((DEPLOY / "settings/worker.yaml").read_text())

    @pytest.mark.parametrize("file", sorted(DEPLOY.glob("settings/*.yaml")), ids=named)
    def test_none_holds_a_secret(self, file: Path) -> None:
        assert not re.findall(r"^\s*\w*(?:secret|password|token|secret_access_key):", file.read_text(), re.MULTILINE)


class TestUnits:
    @pytest.mark.parametrize("unit", UNITS, ids=named)
    def test_systemd_understands_it(self, unit: Path, tmp_path: Path) -> None:
        """With another command in the place of ours, which is not installed where the units look for it."""
        for each in UNITS:
            harmless = re.sub(r"/opt/engine/\.venv/bin/(engine|dask)", "/bin/true", each.read_text())
            (tmp_path / each.name).write_text(harmless)
        done = subprocess.run([needs("systemd-analyze"), "verify", tmp_path / unit.name], **QUIET)

        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("unit", SERVICES, ids=named)
    def test_systemd_finds_little_exposed(self, unit: Path) -> None:
        words = ["security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED * 10:.0f}", str(unit)]
        done = subprocess.run([needs("systemd-analyze"), *words], **QUIET)

        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize("kind", ["scheduler", "worker"])
    def test_dask_knows_every_flag(self, kind: str) -> None:
        """It passes on those that it does not know."""
        command: Any = pytest.importorskip(f"distributed.cli.dask_{kind}").main
        known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        [unit] = DEPLOY.glob(f"systemd/engine-dask-{kind}.service")

        assert set(re.findall(r" (--[a-z-]+)", unit.read_text().split("ExecStart=")[1])) <= known

    def test_a_shell_of_the_user_has_what_the_units_have(self) -> None:
        exported = dict(re.findall(r"^export (\w+)=(.*)$", (DEPLOY / "profile").read_text(), re.MULTILINE))
        given = dict(each.split("=") for each in values(DEPLOY / "systemd/engine-backup.service", "Environment"))
        [secret] = values(DEPLOY / "systemd/engine-backup.service", "LoadCredential")

        assert exported.pop("PATH").startswith("/opt/engine/.venv/bin:")
        assert exported == {
            name: path.replace("%d/client_secret", secret.split(":")[1]) for name, path in given.items()
        }

    def test_the_backup_asks_for_the_tracking_db_of_the_settings(self) -> None:
        settings = load_settings(DEPLOY / "settings/production.yaml", environ={}, overrides={})
        [start] = values(DEPLOY / "systemd/engine-backup.service", "ExecStart")

        assert f"-e {settings.tracking.database} " in start

    def test_files_in_flight_get_their_time_before_the_kill(self) -> None:
        settings = load_settings(DEPLOY / "settings/production.yaml", environ={}, overrides={})
        [limit] = values(DEPLOY / "systemd/engine-backup.service", "TimeoutStopSec")

        assert limit == "2min"
        assert settings.migration.drain_seconds <= 60

    def test_the_credential_is_a_setting_that_systemd_hands_over(self, tmp_path: Path) -> None:
        """As the unit sets it: the file in ``$CREDENTIALS_DIRECTORY``, which systemd opens to the group by its mask."""
        unit = DEPLOY / "systemd/engine-backup.service"
        [assignment] = [each for each in values(unit, "Environment") if "%d" in each]
        variable, _, place = assignment.partition("=")
        [name] = {each.partition(":")[0] for each in values(unit, "LoadCredential")}
        assert place == f"%d/{name}"
        (tmp_path / name).write_text("s3cret")
        (tmp_path / name).chmod(0o440)
        environ = {variable: place.replace("%d", str(tmp_path)), "CREDENTIALS_DIRECTORY": str(tmp_path)}

        settings = load_settings(DEPLOY / "settings/production.yaml", environ=environ, overrides={})

        assert settings.salesforce.client_secret is not None
        assert settings.salesforce.client_secret.get_secret_value() == "s3cret"


class TestContainer:
    FILE = DEPLOY / "Dockerfile"

    def lines(self, word: str) -> list[str]:
        return re.findall(rf"^{word} (.*)$", self.FILE.read_text(), re.MULTILINE)

    def test_it_is_not_root_and_says_by_number_who_it_is(self) -> None:
        """By number, so that Kubernetes' ``runAsNonRoot`` can tell."""
        assert self.lines("USER") == ["10001:10001"]

    def test_its_base_is_a_named_version_of_the_python_that_is_tested(self) -> None:
        assert {line.split()[0] for line in self.lines("FROM")} == {"python:3.11-slim-bookworm"}

    def test_it_installs_only_what_the_lock_names_by_hash(self) -> None:
        installs = re.findall(r"pip install (.*?)(?: \\)?$", self.FILE.read_text(), re.MULTILINE)

        assert [("--require-hashes" in each, "--no-deps" in each) for each in installs] == [
            (True, False),
            (False, True),
        ]

    def test_what_it_copies_is_not_ignored(self) -> None:
        kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        copied = {each for line in self.lines("COPY") if "--from" not in line for each in line.split()[:-1]}

        assert copied == kept
        assert [each for each in copied if not (ROOT / each).exists()] == []

    def test_a_linter_has_nothing_to_say(self) -> None:
        done = subprocess.run([needs("hadolint"), self.FILE], **QUIET)

        assert done.stdout == ""


class TestTerraform:
    HERE = DEPLOY / "terraform"

    def test_it_is_formatted(self) -> None:
        done = subprocess.run([needs("terraform"), "fmt", "-check", "-diff", self.HERE], env=ALONE, **QUIET)

        assert done.returncode == 0, done.stdout

    def test_it_is_valid(self, tmp_path: Path) -> None:
        """Needs the AWS provider on this machine: nothing is fetched here."""
        if not PROVIDERS.is_dir():
            pytest.skip(f"no Terraform providers lie in {PROVIDERS}")
        copy = shutil.copytree(self.HERE, tmp_path / "module", ignore=shutil.ignore_patterns(".terraform*"))
        begin = ["init", "-no-color", "-input=false", "-backend=false", f"-plugin-dir={PROVIDERS}"]
        for words in (begin, ["validate", "-no-color"]):
            done = subprocess.run([needs("terraform"), f"-chdir={copy}", *words], env=ALONE, **QUIET)
            assert done.returncode == 0, done.stdout + done.stderr

    def test_its_role_may_do_what_doctor_prints_and_nothing_else(self) -> None:
        text = (self.HERE / "role.tf").read_text()

        assert re.findall(r"local\.policies\.(\w+)\)", text) == ["destination", "source"]
        assert set(re.findall(r'"((?:s3|kms):[^"]*)"', text)) == {"kms:Decrypt"}


class TestDatasette:
    QUERIES = yaml.safe_load((DEPLOY / "datasette.yaml").read_text())["databases"]["migration_tracking"]

    async def test_every_question_fits_the_tracking_db_and_shows_no_signature(self, tmp_path: Path) -> None:
        path = await some_of_everything(tmp_path / "t.db")
        with closing(open_reader(path)) as db:
            for name, query in self.QUERIES["queries"].items():
                rows = db.execute(query["sql"], {"failure_class": "source_missing", "record": record_id(1)}).fetchall()
                assert rows, name
                assert "canary" not in str(rows), name

    async def test_every_table_that_it_names_is_there(self, tmp_path: Path) -> None:
        path = await some_of_everything(tmp_path / "t.db")
        with closing(open_reader(path)) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert set(self.QUERIES["tables"]) <= tables
