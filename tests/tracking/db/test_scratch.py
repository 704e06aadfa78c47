"""The scratch table of an analysis: files out of records, samples out of files, answers out of both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.analyzed import AnalyzedRecord
from engine.model.urls import identity_hash, source_rules
from engine.tracking.db.scratch import RING, Scratch
from engine.tracking.read.analysis import AnalysisFigures, Measured

RULES = source_rules(["vendor"], None, "us-west-2", [])


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        yield made


def seen(number: int, key: str = "", **changes: object) -> AnalyzedRecord:
    key = key or f"{number}.pdf"
    made = AnalyzedRecord(
        f"r{number}", f"acc{number % 3}", "h", "to_copy", "", ".pdf", identity_hash(f"s3://vendor/{key}"), "vendor",
        2 * number + 1, 2 * number + 1, f"https://vendor.s3.us-west-2.amazonaws.com/{key}", "",
    )  # fmt: skip
    return made._replace(**changes)


def listed(scratch: Scratch, *rows: tuple[str, int]) -> Measured:
    scratch.add_listed("vendor", [(key, size, "STANDARD", False) for key, size in rows])
    scratch.gather()
    return Measured(listed={"vendor": len(rows)}, listed_objects=len(rows), strata=scratch.strata())


def test_records_of_one_file_are_one_file(scratch: Scratch) -> None:
    scratch.add([seen(1), seen(2, key="1.pdf"), seen(3)], [("acc1", "Acme")])
    document = AnalysisFigures(scratch, listed(scratch, ("1.pdf", 100), ("3.pdf", 7)), None).document(RULES)

    assert document["files"] == {
        "distinct": 2, "to_copy": 2, "shared": 1, "records_sharing": 2, "reads_saved": 1, "bytes_saved": 100,
    }  # fmt: skip
    assert document["sizes"]["basis"] == "exact"
    assert document["sizes"]["bytes"] == {"estimate": 107, "low": 107, "high": 107, "exact": True}
    assert document["sizes"]["bytes_to_store"]["estimate"] == 207


def test_objects_that_no_record_names_are_told(scratch: Scratch) -> None:
    scratch.add([seen(1)], [])
    document = AnalysisFigures(scratch, listed(scratch, ("1.pdf", 100), ("lost.pdf", 9)), None).document(RULES)

    assert document["sizes"]["objects_without_record"] == {"objects": 1, "bytes": 9}


def test_what_is_copied_already_counts_in_all_and_not_in_what_is_left(scratch: Scratch) -> None:
    scratch.add([seen(1, fate="done"), seen(2)], [])
    sizes = AnalysisFigures(scratch, listed(scratch, ("1.pdf", 100), ("2.pdf", 7)), None).document(RULES)["sizes"]

    assert (sizes["bytes"]["estimate"], sizes["bytes_to_copy"]["estimate"]) == (107, 7)


def test_files_over_the_limit_are_left_out_and_told(scratch: Scratch) -> None:
    scratch.add([seen(1), seen(2)], [])
    sizes = AnalysisFigures(scratch, listed(scratch, ("1.pdf", 100), ("2.pdf", 7)), 50).document(RULES)["sizes"]

    assert (sizes["too_large"], sizes["bytes_to_copy"]["estimate"]) == (1, 7)


def test_nothing_looked_at_is_unknown_and_not_nought(scratch: Scratch) -> None:
    scratch.add([seen(1)], [])
    scratch.gather()
    document = AnalysisFigures(scratch, Measured(strata=scratch.strata()), None).document(RULES)

    assert document["sizes"]["basis"] == "unknown"
    assert document["sizes"]["bytes"] is None
    assert document["files"]["bytes_saved"] is None
    assert document["by"]["account"][0]["bytes"] is None


def test_no_records_at_all_are_exactly_nothing(scratch: Scratch) -> None:
    scratch.gather()
    document = AnalysisFigures(scratch, Measured(), None).document(RULES)

    assert document["records"]["total"] == 0
    assert document["sizes"]["bytes"] == {"estimate": 0, "low": 0, "high": 0, "exact": True}


def test_collisions_are_counted_by_key_and_without_case(scratch: Scratch) -> None:
    keys = [(1, 1), (1, 1), (2, 9), (3, 9), (4, 4), (0, 0), (0, 0)]
    scratch.add([seen(n, key_hash=key, folded_hash=folded) for n, (key, folded) in enumerate(keys)], [])
    scratch.gather()

    assert AnalysisFigures(scratch, Measured(strata=scratch.strata()), None).document(RULES)["collisions"] == {
        "exact": 1,
        "case_insensitive": 1,
    }


def test_a_sample_stands_for_all_and_says_so(scratch: Scratch) -> None:
    chance = random.Random(5)
    sizes = {f"{n}.pdf": round(chance.lognormvariate(10, 1.2)) for n in range(4000)}
    scratch.add([seen(n) for n in range(4000)], [])
    scratch.gather()
    strata = scratch.strata()
    looks = list(scratch.draw({"vendor .pdf": 800}, int(chance.random() * RING)))
    scratch.put_answers(
        [(sizes[look.url.rpartition("/")[2]], "STANDARD", False, "seen", look.source_id) for look in looks]
    )
    scratch.weigh(strata)
    document = AnalysisFigures(scratch, Measured(strata=strata, heads=800), None).document(RULES)
    found = document["sizes"]["bytes"]

    assert len({look.source_id for look in looks}) == 800
    assert document["sizes"]["basis"] == "sample"
    assert not found["exact"]
    assert found["low"] < sum(sizes.values()) < found["high"]
    assert sum(row["files"] for row in document["by"]["size_class"]) == pytest.approx(4000, abs=5)
    assert document["sizes"]["missing"]["high"] > 0


def test_samples_begin_somewhere_else_each_time_and_go_round_the_ring(scratch: Scratch) -> None:
    scratch.add([seen(n) for n in range(500)], [])
    scratch.gather()
    first, other = (
        {look.source_id for look in scratch.draw({"vendor .pdf": 100}, start)} for start in (RING // 4, RING - 2)
    )

    assert len(first) == len(other) == 100
    assert len(first & other) < 60


def test_missing_files_have_no_bytes_and_denied_ones_stand_for_nothing(scratch: Scratch) -> None:
    scratch.add([seen(n) for n in range(4)], [])
    scratch.gather()
    strata = scratch.strata()
    ids = [look.source_id for look in scratch.draw(strata, 0)]
    scratch.put_answers(
        [
            (100, "STANDARD", False, "seen", ids[0]),
            (None, "", False, "source_missing", ids[1]),
            (None, "", False, "source_denied", ids[2]),
            (50, "GLACIER", True, "seen", ids[3]),
        ]
    )
    scratch.weigh(strata)
    found = AnalysisFigures(scratch, Measured(strata=strata, heads=4), None)
    sizes = found.document(RULES)["sizes"]

    assert sizes["basis"] == "sample"
    assert sizes["heads_refused"] == {"source_denied": 1}
    assert sizes["missing"]["estimate"] == 1
    assert sizes["bytes"]["estimate"] == 200
    assert [row["storage_class"] for row in found.archived(RULES)] == ["GLACIER"]


def test_half_a_character_stops_nothing(scratch: Scratch) -> None:
    scratch.add([seen(1, url="https://h/\ud800"), seen(2)], [("acc1", "Ac\udfffme")])

    assert scratch.ask("SELECT count(*) FROM record") == [(2,)]
    assert scratch.ask("SELECT name FROM account") == [("Ac?me",)]


def test_no_file_is_left_anywhere(scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    with Scratch() as other:
        other.add([seen(n, url="x" * 2000) for n in range(60_000)], [])

        assert list(tmp_path.iterdir()) == []
