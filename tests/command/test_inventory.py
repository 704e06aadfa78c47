"""The source inventory end to end: no HEAD per file, changes seen, archives known, kills survived."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from tests.support.commands import BACKUP
from tests.support.corner import Corner, ended, until, wait

LISTING = f"/{VENDOR_BUCKET}/?[?]"


def asked(corner: Corner, bucket: str = VENDOR_BUCKET) -> Counter[str]:
    """Requests for objects by method, and LIST."""
    seen: Counter[str] = Counter()
    for each in wait(corner.stage.objects.requests()):
        name, _, key = each.path.lstrip("/").partition("/")
        if name == bucket and (key or "list-type" in each.query):
            seen[each.method if key else "LIST"] += 1
    return seen


def always(corner: Corner, mode: str = "always") -> None:
    corner.env["ENGINE_SOURCE__INVENTORY"] = mode


@pytest.mark.parametrize("transport", ["fast", "sdk"])
def test_with_an_inventory_a_file_takes_one_request(corner: Corner, transport: str) -> None:
    files = corner.files(120)
    always(corner)
    corner.forget_requests()
    said = corner.engine("run", "backup", "--full", "--json", "--transport", transport)

    assert (said.code, said.json["records"]["backed_up"]) == (0, len(files))
    assert {row["status"] for row in corner.rows().values()} == {"backed_up"}
    assert asked(corner)["HEAD"] <= 8  # the samples of the route's probe
    assert asked(corner)["GET"] == 0
    assert asked(corner)["LIST"] >= 1
    ours = asked(corner, corner.bucket)
    assert ours["PUT"] <= len(files) + 1  # one more taught what a condition is worth
    assert ours["HEAD"] <= 16  # of the copies that were under way then
    assert any("listed: " in note for note in said.json["notes"])


def test_never_asks_for_each_file(corner: Corner) -> None:
    files = corner.files(30)
    always(corner, "never")
    corner.forget_requests()
    assert corner.engine("run", "backup", "--full").code == 0

    assert asked(corner)["LIST"] == 0
    assert asked(corner)["HEAD"] >= len(files)


def test_auto_does_not_list_for_a_few_records(corner: Corner) -> None:
    corner.files(30)
    always(corner, "auto")
    corner.forget_requests()
    assert corner.engine("run", "backup", "--full").code == 0

    assert asked(corner)["LIST"] == 0


@pytest.mark.parametrize("words", [("--full", "--limit", "10"), ("--full", "--dry-run")])
def test_restricted_runs_do_not_list(corner: Corner, words: tuple[str, ...]) -> None:
    corner.files(12)
    always(corner)
    corner.forget_requests()
    assert corner.engine("run", "backup", *words).code == 0

    assert asked(corner)["LIST"] == 0


def test_changed_content_is_seen_and_copied_beside_the_old(corner: Corner) -> None:
    files = corner.files(25)
    always(corner)
    assert corner.engine("run", "backup", "--full").code == 0
    before = corner.rows()
    key = f"{corner.tag}/" + before[files[3]]["original_url"].rpartition("/")[2]
    corner.put(key, 555)
    corner.forget_requests()
    said = corner.engine("run", "backup", "--full", "--json")

    assert (said.code, said.json["records"]["backed_up"]) == (0, 1)
    after = corner.rows()
    old, new = before[files[3]]["your_s3_key"], after[files[3]]["your_s3_key"]
    assert new == old.replace(".pdf", f"~{after[files[3]]['source_etag'][:8]}.pdf")
    held = corner.held()
    assert (held[old].size, held[new].size) == (400, 555)
    assert {name: row["your_s3_key"] for name, row in after.items() if name != files[3]} == {
        name: row["your_s3_key"] for name, row in before.items() if name != files[3]
    }
    assert asked(corner)["HEAD"] <= 8
    assert corner.engine("run", "backup", "--full", "--json").json["records"]["backed_up"] == 0


@pytest.mark.parametrize("mode", ["auto", "never", "denied", "always"])
def test_a_full_scan_asks_for_each_file_that_no_listing_tells_of(corner: Corner, mode: str) -> None:
    """With ``always``: for the one whose link spells its key otherwise than the listing does."""
    key = f"{corner.tag}/the replaced one.pdf"
    corner.put(key)
    files = [*corner.files(5), *corner.records([corner.row(url=corner.url(key).replace("%20", "+"))])]
    always(corner, mode if mode in {"never", "always"} else "auto")
    if mode == "denied":
        corner.misbehave(kind="access_denied", path=LISTING)
    assert corner.engine(*BACKUP).code == 0
    before = corner.rows()[files[-1]]
    corner.put(key, 555)
    corner.forget_requests()
    said = corner.engine(*BACKUP, "--json")

    assert (said.code, said.json["records"]["backed_up"], said.json["records"]["unchanged"]) == (0, 1, 5)
    after, held = corner.rows()[files[-1]], corner.held()
    assert (held[before["your_s3_key"]].size, held[after["your_s3_key"]].size, after["file_size_bytes"]) == (
        400,
        555,
        555,
    )
    assert asked(corner)["HEAD"] <= 8 + (4 if mode == "always" else 8)
    again = corner.engine(*BACKUP, "--json").json
    assert (again["records"]["backed_up"], again["records"]["unchanged"], again["not_looked_at"]) == (0, 6, {})


def test_what_a_full_scan_cannot_look_at_is_not_called_unchanged_and_a_switch_says_so(corner: Corner) -> None:
    files = corner.files(6)
    always(corner, "never")
    assert corner.engine(*BACKUP).code == 0
    row = corner.rows()[files[2]]
    key = row["original_url"].rpartition("/")[2]
    corner.misbehave(kind="access_denied", path=key)
    said = corner.engine(*BACKUP)

    assert said.code == 0
    assert "5 unchanged, 1 not looked at" in said.out
    assert "could not be looked at for changes: source_denied 1" in said.out
    document = corner.engine(*BACKUP, "--json").json
    assert (document["records"]["unchanged"], document["records"]["not_looked_at"]) == (5, 1)
    assert (document["records"]["processed"], document["not_looked_at"]) == (6, {"source_denied": 1})
    assert corner.rows()[files[2]] == row | {"updated_date": corner.rows()[files[2]]["updated_date"]}
    plan = corner.engine("run", "switch", "--dry-run", "--json").json
    assert (plan["records"]["planned"], plan["not_looked_at"]) == (6, {"source_denied": 1})
    assert any(note.startswith("1 of these copies may be out of date") for note in plan["notes"])

    corner.misbehave()
    assert corner.engine(*BACKUP, "--json").json["records"]["unchanged"] == 6
    assert corner.engine("run", "switch", "--dry-run", "--json").json["not_looked_at"] == {}


def test_a_look_that_finds_a_change_beyond_the_limit_copies_nothing_and_forgets_nothing(corner: Corner) -> None:
    files = corner.files(4)
    always(corner, "never")
    assert corner.engine(*BACKUP).code == 0
    rows = corner.rows()
    for name in files:
        corner.put(f"{corner.tag}/" + rows[name]["original_url"].rpartition("/")[2], 555)
    records = corner.engine(*BACKUP, "--json", "--limit", "1").json["records"]

    assert records["backed_up"] == 1
    assert records["backed_up"] + records["pending"] == records["processed"] <= 4
    assert corner.engine(*BACKUP, "--json").json["records"]["processed"] == 4
    assert {row["file_size_bytes"] for row in corner.rows().values()} == {555}


def test_archived_objects_are_confirmed_and_restored_ones_copied_by_their_state(corner: Corner) -> None:
    corner.put(f"{corner.tag}/cold.pdf", storage_class="GLACIER")
    corner.put(f"{corner.tag}/warm.pdf", storage_class="GLACIER_IR")
    urls = [corner.url(f"{corner.tag}/{name}.pdf") for name in ("cold", "warm", "missing")]
    cold, warm, missing = corner.records([corner.row(url=url) for url in urls])
    always(corner)
    assert corner.engine("run", "backup", "--full").code == 3

    rows = corner.rows()
    assert [(rows[name]["status"], rows[name]["failure_class"]) for name in (cold, warm, missing)] == [
        ("failed", "archived"),
        ("backed_up", None),
        ("failed", "source_missing"),
    ]
    assert {"storage_class": "GLACIER"} in corner.query("SELECT storage_class FROM inventory WHERE size = 400")


def test_what_is_too_large_is_skipped_by_the_listing(corner: Corner) -> None:
    corner.put(f"{corner.tag}/large.pdf", 5000)
    [large] = corner.records([corner.row(url=corner.url(f"{corner.tag}/large.pdf"))])
    always(corner)
    assert corner.engine("run", "backup", "--full", "--max-file-size-mb", "0.004").code == 0

    assert (corner.rows()[large]["status"], corner.rows()[large]["failure_class"]) == ("skipped", "too_large")


def test_always_is_refused_where_listing_is_denied(corner: Corner) -> None:
    corner.files(3)
    always(corner)
    corner.misbehave(kind="access_denied", path=LISTING)
    said = corner.engine("run", "backup", "--full")

    assert said.code == 4
    assert "s3:ListBucket" in said.everything
    assert corner.recorded() == 0


def test_a_listing_that_is_killed_goes_on_where_it_was(corner: Corner) -> None:
    files = corner.files(20)
    always(corner)
    for number in range(60):
        corner.put(f"{corner.tag}/other/{number:03d}")
    corner.misbehave(kind="delay", path=LISTING, seconds=30.0)
    process = corner.start("run", "backup", "--full", "--no-progress")
    until(lambda: corner.database.exists() and listings(corner), "the listing has begun")
    process.send_signal(signal.SIGKILL)
    ended(process)
    corner.calm()
    said = corner.engine("run", "backup", "--incremental", "--json")

    assert said.code == 0
    assert said.json["records"]["backed_up"] == len(files)
    assert [each["state"] for each in listings(corner)] == ["completed"]


def test_a_stop_during_the_listing_is_clean_and_resumable(corner: Corner) -> None:
    files = corner.files(20)
    always(corner)
    corner.misbehave(kind="delay", path=LISTING, seconds=30.0)
    process = corner.start("run", "backup", "--full", "--no-progress")
    until(lambda: corner.database.exists() and listings(corner), "the listing has begun")
    process.send_signal(signal.SIGTERM)
    assert ended(process).code == 143
    corner.calm()

    assert [run["status"] for run in corner.runs()] == ["stopped"]
    assert corner.engine("run", "backup", "--incremental", "--json").json["records"]["backed_up"] == len(files)


def listings(corner: Corner) -> list[dict[str, str]]:
    tables = corner.query("SELECT name FROM sqlite_master WHERE name = 'listings'")
    return corner.query("SELECT state FROM listings") if tables else []
