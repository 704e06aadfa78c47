"""Credentials that are wrong or die on the way, and single files that answer as if they were: the command's own end."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.side_door import Seeded
from tests.support.corner import Corner, wait

FULL = ("run", "backup", "--full", "--no-progress")
AGAIN = ("run", "backup", "--incremental", "--no-progress")
ODD: list[tuple[dict[str, Any], set[str]]] = [
    ({"status": 403, "code": "SignatureDoesNotMatch"}, {"source_denied", "destination_denied"}),
    ({"status": 403, "code": "InvalidAccessKeyId"}, {"source_denied", "destination_denied"}),
    ({"status": 400, "code": "AuthorizationHeaderMalformed"}, {"source_denied", "destination_denied"}),
    ({"status": 400, "code": "ExpiredToken"}, {"network"}),
    ({"status": 403, "code": "RequestTimeTooSkewed"}, {"network", "source_denied"}),
    ({"status": 403, "code": "AccessDenied"}, {"source_denied"}),
    ({"status": 404, "code": "NoSuchBucket"}, {"source_missing", "source_denied"}),
    ({"status": 301, "code": "PermanentRedirect"}, {"redirected"}),
    ({"status": 307, "code": "TemporaryRedirect"}, {"redirected"}),
    ({"status": 400, "code": "InvalidRequest"}, {"rejected"}),
    ({"status": 501, "code": "NotImplemented"}, {"network"}),
    ({"status": 500, "code": "InternalError"}, {"network"}),
    ({"kind": "reset"}, {"network"}),
]
"""What one file is answered, whatever is asked about it, and what its record's failure may be called."""


def streaming(corner: Corner) -> dict[str, Any]:
    """A fault that leaves the vendor's bucket to the source's own keys."""
    corner.env["ENGINE_DESTINATION__ACCESS_KEY_ID"] = "ours"
    return {"kind": "access_denied", "path": VENDOR_BUCKET, "header": "credential=ours/|Credential=ours/"}


@pytest.mark.parametrize("transport", ["fast", "sdk"])
@pytest.mark.parametrize("route", ["server_copy", "stream"])
def test_odd_files_of_every_kind_are_named_and_all_others_copied(corner: Corner, route: str, transport: str) -> None:
    corner.env["ENGINE_MIGRATION__MAX_ATTEMPTS"] = "2"
    keys = [f"{corner.tag}/file-{number:03}.pdf" for number in range(100)]
    wait(corner.stage.objects.load(VENDOR_BUCKET, [Seeded(key, 400) for key in keys]))
    ids = corner.records([corner.row(url=corner.url(key)) for key in keys])
    key_of = dict(zip(ids, keys, strict=True))
    odd = dict(zip(ids[3::7], ODD, strict=False))
    assert len(odd) == len(ODD)
    faults = [
        {"kind": "refused", **fault, "path": key_of[record].rpartition("/")[2]} for record, (fault, _) in odd.items()
    ]
    corner.misbehave_all(*faults, *([streaming(corner)] if route == "stream" else []))
    said = corner.engine(*FULL, "--transport", transport)
    assert said.code == 3, said.everything
    rows = corner.rows()
    told = [(fault, names, rows[record]["failure_class"]) for record, (fault, names) in odd.items()]
    assert not [each for each in told if each[2] not in each[1]]
    assert {record for record in ids if rows[record]["status"] != "backed_up"} == set(odd)
    assert {rows[record]["method"] for record in ids if record not in odd} == {route}


def test_ten_denied_files_in_front_send_no_readable_one_to_anonymous_http(corner: Corner) -> None:
    keys = [f"{corner.tag}/file-{number:03}.pdf" for number in range(70)]
    wait(corner.stage.objects.load(VENDOR_BUCKET, [Seeded(key, 400) for key in keys]))
    ids = corner.records([corner.row(url=corner.url(key)) for key in keys])
    denied = {"kind": "access_denied", "path": "file-00", "method": "HEAD|GET"}
    corner.misbehave_all(denied, streaming(corner))
    said = corner.engine(*FULL)
    assert said.code == 3, said.everything
    rows = corner.rows()
    assert {rows[record]["failure_class"] for record in ids[:10]} == {"source_denied"}
    assert {rows[record]["method"] for record in ids[10:]} == {"stream"}


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (400, "InvalidRequest")])
def test_a_store_that_does_not_list_its_uploads_is_no_reason_to_crash(corner: Corner, status: int, code: str) -> None:
    corner.files(2)
    corner.misbehave(kind="refused", status=status, code=code, method="GET", path="uploads")
    said = corner.engine(*FULL)
    assert said.code == 0, said.everything
    assert "could not look for multipart uploads" in said.out
    assert code in said.out


def processed(corner: Corner, *accesses: str) -> None:
    """Both sides' keys come from a program that hands out these, one after the other."""
    script, count = corner.directory / "keys.sh", corner.directory / "count"
    cases = "\n".join(f"{number}) key={access};;" for number, access in enumerate(accesses[:-1]))
    script.write_text(
        f"n=$(cat {count} 2>/dev/null || echo 0); echo $((n+1)) > {count}\n"
        f"case $n in\n{cases}\n*) key={accesses[-1]};;\nesac\n"
        'printf \'{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"s","SessionToken":"t"}\' $key\n'
    )
    (corner.directory / "config").write_text(f"[profile role]\ncredential_process = sh {script}\n")
    tree = yaml.safe_load(corner.stage.settings_file.read_text(encoding="utf-8"))
    for side in ("source", "destination"):
        del tree[side]["access_key_id"], tree[side]["secret_access_key"]
        tree[side]["profile"] = "role"
    settings = corner.directory / "settings.yaml"
    settings.write_text(yaml.safe_dump(tree), encoding="utf-8")
    settings.chmod(0o600)
    corner.env |= {
        "ENGINE_CONFIG": str(settings),
        "AWS_CONFIG_FILE": str(corner.directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


def dying(at: int) -> dict[str, Any]:
    """The key OLD is taken for so many requests, and then no more."""
    late = tuple(range(at, 20_000))
    return {"kind": "refused", "path": "", "header": "Credential=OLD/", "nth": late, "code": "ExpiredToken"}


@pytest.mark.parametrize("transport", ["fast", "sdk"])
def test_a_token_that_dies_under_way_is_renewed_and_nothing_is_left_behind(corner: Corner, transport: str) -> None:
    ids = corner.files(100)
    processed(corner, "OLD", "OLD", "NEW")
    corner.misbehave_all(dying(60))
    said = corner.engine(*FULL, "--transport", transport)
    assert said.code == 0, said.everything
    assert {row["status"] for row in corner.rows().values()} == {"backed_up"}
    assert len(corner.rows()) == len(ids)


@pytest.mark.parametrize("transport", ["fast", "sdk"])
def test_a_token_that_nobody_renews_pauses_the_run_and_the_next_one_finishes_it(corner: Corner, transport: str) -> None:
    ids = corner.files(100)
    for side in ("SOURCE", "DESTINATION"):
        corner.env[f"ENGINE_{side}__ACCESS_KEY_ID"] = "OLD"
        corner.env[f"ENGINE_{side}__SESSION_TOKEN"] = "t"
    corner.misbehave_all(dying(60))
    said = corner.engine(*FULL, "--transport", transport)
    assert said.code == 5, said.everything
    assert "expired" in said.everything
    assert "renew the credentials of" in said.everything
    assert not [row for row in corner.rows().values() if row["status"] == "failed"]
    for side in ("SOURCE", "DESTINATION"):
        corner.env[f"ENGINE_{side}__ACCESS_KEY_ID"] = "NEW"
    said = corner.engine(*AGAIN, "--transport", transport)
    assert said.code == 0, said.everything
    assert [row["status"] for row in corner.rows().values()] == ["backed_up"] * len(ids)


@pytest.mark.parametrize("transport", ["fast", "sdk"])
@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (400, "ExpiredToken", "expired"),
        (403, "SignatureDoesNotMatch", "secret key"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "AuthorizationHeaderMalformed", "region"),
    ],
)
@pytest.mark.parametrize("side", ["SOURCE", "DESTINATION"])
def test_keys_that_are_wrong_from_the_start_are_exit_4_with_the_cause(
    corner: Corner, side: str, status: int, code: str, says: str, transport: str
) -> None:
    corner.files(2)
    corner.env[f"ENGINE_{side}__ACCESS_KEY_ID"] = "BAD"
    corner.misbehave_all({"kind": "refused", "path": "", "header": "Credential=BAD/", "status": status, "code": code})
    said = corner.engine(*FULL, "--transport", transport)
    assert said.code == 4, said.everything
    assert says in said.err
    assert side.lower() in said.err or says == "clock"
    assert corner.held() == {}
