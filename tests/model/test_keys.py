"""Destination keys: unique, clean, short enough, and near to the name that people know."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.keys import (
    LinkTemplate,
    changed_template,
    destination_key,
    extension_of,
    file_name_of,
    fill_changed,
    split_name,
    units,
)
from engine.model.location import Location, Origin
from engine.model.record import Record

TEMPLATE = "uploads/{account_id}/{record_id}/{file_name}"
AWS = Origin("https", "docs-bucket.s3.amazonaws.com", 443)
RECORD = Record("a00000000000001AAA", "DLE-1", "", "001000000000001AAA", "Acme", "2026-11-22T10:00:00.000Z")


def at(key: str) -> Location:
    return Location(AWS, f"{AWS}/x", "docs-bucket", key)


def plain(path: str) -> Location:
    origin = Origin("https", "files.example", 443)
    return Location(origin, f"{origin}{path}")


def changed_key(key: str, etag: str) -> str:
    return fill_changed(changed_template(key), etag)


def is_sound(key: str) -> bool:
    segments = key.split("/")
    return (
        0 < len(key.encode()) <= 1024
        and not any(segment in ("", ".", "..") for segment in segments)
        and not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in key)
    )


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (at("a/b/report.pdf"), "report.pdf"),
        (at("a/b/ report.pdf. "), "report.pdf"),
        (at("Ünïcödé e\u0301.PDF"), "Ünïcödé e\u0301.PDF"),
        (at("C:\\docs\\a.pdf"), "C:_docs_a.pdf"),
        (at("a\r\nb\x9b.pdf"), "a__b_.pdf"),
        (at("a/.."), "DLE-1"),
        (at("a/ . "), "DLE-1"),
        (at(".pdf"), ".pdf"),
        (plain("/get/a%20b.pdf?token=x"), "a b.pdf"),
        (plain("/%FF.pdf"), "\ufffd.pdf"),
        (plain("/?id=7"), "DLE-1"),
        (plain("/a%2Fb%5Cc.pdf"), "b_c.pdf"),
    ],
)
def test_a_copy_is_called_like_its_source(location: Location, name: str) -> None:
    assert file_name_of(location, "DLE-1") == name


@pytest.mark.parametrize(("record_name", "name"), [("", "file"), ("..", "file"), ("\ud800", "_"), ("a/b", "a_b")])
def test_without_a_usable_segment_the_record_gives_the_name(record_name: str, name: str) -> None:
    assert file_name_of(at("a/.."), record_name) == name


@pytest.mark.parametrize("char", ["x", "é", "€", "𝄞"])
def test_a_long_name_is_cut_before_its_extension_and_never_inside_a_character(char: str) -> None:
    name = file_name_of(at(char * 250 + ".docx"), "")
    assert 196 < len(name.encode()) <= 200
    assert name.lstrip(char) == ".docx"
    assert file_name_of(at("x" * 196 + ".pdf"), "") == "x" * 196 + ".pdf"


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.pdf", ".pdf"),
        ("a.PDF", ".pdf"),
        ("a.tar.gz", ".gz"),
        ("a.7z", ".7z"),
        ("a.pdf ", ".pdf"),
        ("a.pdf.", ".pdf"),
        ("report.docx_10/31/24_13:44:17", ""),
        ("plan.27 (non-resident)", ""),
        ("scan.2024", ""),
        ("a.", ""),
        (".", ""),
        ("..", ""),
        ("", ""),
        (".pdf", ""),
        ("..pdf", ""),
        ("a.пдф", ""),
        ("a.abcdefghijk", ""),
        ("a.²", ""),
        ("nothing", ""),
    ],
)
def test_an_extension_is_short_and_made_of_letters(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_the_default_template_yields_ids_and_the_name() -> None:
    key = destination_key(TEMPLATE, RECORD, "report 1.pdf", at("x/report 1.pdf"))
    assert key == "uploads/001000000000001AAA/a00000000000001AAA/report 1.pdf"


def test_every_placeholder_is_filled() -> None:
    template = "{bucket}/{account_id}/{account_name}/{record_name}/{record_id}/{source_key}/{stem}/{ext}/{file_name}"
    key = destination_key(template, RECORD, "a.b.pdf", at("s/t/u.pdf"))
    assert key == "docs-bucket/001000000000001AAA/Acme/DLE-1/a00000000000001AAA/s/t/u.pdf/a.b/.pdf/a.b.pdf"


def test_a_plain_source_gives_its_host_and_path() -> None:
    key = destination_key("{bucket}/{record_id}/{source_key}", RECORD, "b.pdf", plain("/a/b%20c.pdf?sig=1"))
    assert key == "files.example/a00000000000001AAA/a/b c.pdf"


def test_a_record_without_an_account_says_so() -> None:
    orphan = replace(RECORD, account_id="", account_name=" ")
    assert destination_key(TEMPLATE, orphan, "a.pdf", at("a.pdf")).startswith("uploads/no-account/")
    assert destination_key("{account_name}/{record_id}", orphan, "a.pdf", at("a.pdf")).startswith("no-account/")


@pytest.mark.parametrize(
    ("template", "account_name", "key"),
    [
        ("{account_name}/{record_id}", "../../etc", ".._.._etc/R"),
        ("{account_name}/{record_id}", "..", "R"),
        ("{account_name}.{account_name}/{record_id}", ".", ".../R"),
        ("{account_name}./{record_id}", ".", "R"),
        ("/x//{account_name}/./{record_id}/", "a/b\\c", "x/a_b_c/R"),
        ("{source_key}/{record_id}", "", "a/b/R"),
        ("{record_id}/{ext}", "", "R"),
    ],
)
def test_no_value_climbs_out_of_its_place(template: str, account_name: str, key: str) -> None:
    record = replace(RECORD, id="R", account_name=account_name)
    assert destination_key(template, record, "f", at("/../a//./b")) == key


@pytest.mark.parametrize("char", ["x", "é", "€", "𝄞"])
@pytest.mark.parametrize("length", range(1000, 1030, 3))
def test_a_key_fits_1024_bytes_with_room_for_a_mark(char: str, length: int) -> None:
    template = "{record_id}/" + "d" * (length - 100) + "/{file_name}"
    name = char * (80 // len(char.encode())) + ".pdf"
    key = destination_key(template, RECORD, name, at("x"))
    assert key.endswith(".pdf")
    assert is_sound(changed_key(key, "0" * 32))
    assert (key.endswith(name)) == (len(f"{RECORD.id}/{'d' * (length - 100)}/{name}".encode()) <= 1015)


def test_long_names_that_differ_late_keep_different_keys() -> None:
    template = "{record_id}/" + "d" * 900 + "/{stem}{ext}"
    keys = {destination_key(template, RECORD, "x" * 150 + f"{n}.pdf", at("x")) for n in range(10)}
    assert len(keys) == 10
    assert all(is_sound(key) for key in keys)


@pytest.mark.parametrize("length", [860, 861, 862])
def test_a_name_used_twice_is_cut_enough_in_both_places(length: int) -> None:
    template = "{record_id}/" + "d" * length + "/{stem}/{file_name}"
    assert is_sound(changed_key(destination_key(template, RECORD, "x" * 80 + ".pdf", at("x")), "0" * 32))


@pytest.mark.parametrize("template", ["{record_id}/" + "d" * 1010, "{record_id}/" + "d" * 1000 + "/{file_name}"])
def test_a_key_that_no_shorter_name_can_save_is_refused(template: str) -> None:
    with pytest.raises(Refused, match="longer than S3 allows") as caught:
        destination_key(template, RECORD, "a.pdf", at("a.pdf"))
    assert caught.value.failure is FailureClass.BAD_KEY


@pytest.mark.parametrize(
    ("key", "etag", "changed"),
    [
        ("u/a.pdf", "D41D8CD98F00B204E9800998ECF8427E", "u/a~d41d8cd9.pdf"),
        ("u/a.pdf", "d41d8cd98f00b204e9800998ecf8427e-12", "u/a~d41d8cd9.pdf"),
        ("u/a", "0123456789abcdef", "u/a~01234567"),
        ("u.v/a", "0123456789abcdef", "u.v/a~01234567"),
        ("{etag8}~{etag8}.pdf", "0123456789abcdef", "{etag8}~{etag8}~01234567.pdf"),
        ("a.pdf", "not-hex", "a~95340811.pdf"),
        ("a.pdf", "", "a~e3b0c442.pdf"),
    ],
)
def test_changed_content_gets_the_mark_of_its_etag(key: str, etag: str, changed: str) -> None:
    assert changed_key(key, etag) == changed
    assert fill_changed(changed_template(key), etag) == changed


def test_a_full_key_gives_up_the_end_of_its_name_for_the_mark() -> None:
    changed = changed_key("d/" + "€" * 339 + ".pdf", "0" * 32)
    assert len(changed.encode()) <= 1024
    assert changed.endswith("€~00000000.pdf")
    assert changed_key("d" * 1009 + "/aaa.pdf", "0" * 32) == "d" * 1009 + "/a~00000000.pdf"
    with pytest.raises(Refused, match="no room"):
        changed_key("d" * 1010 + "/aaa.pdf", "0" * 32)
    with pytest.raises(Refused, match="no room"):
        changed_key("d" * 1018 + "/a.pdf", "0" * 32)


def test_a_link_encodes_the_key_once() -> None:
    template = "https://{bucket}.s3.{region}.amazonaws.com/{key}"
    url = LinkTemplate(template, "ours", "us-east-1").url("a b+c%20é~(1)/{key}.pdf")
    assert url == "https://ours.s3.us-east-1.amazonaws.com/a%20b%2Bc%2520%C3%A9~%281%29/%7Bkey%7D.pdf"


def test_a_field_counts_utf_16_units() -> None:
    assert units("x" * 255) == 255
    assert units("𝄞€") == 3


WILD = st.text(max_size=300)


@settings(max_examples=1_000, deadline=None)
@given(
    WILD,
    WILD,
    WILD,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    st.sampled_from([TEMPLATE, "{account_name}/{record_name}/{record_id}{ext}", "{source_key}.{record_id}/{stem}"]),
)
def test_any_names_make_a_sound_key(name: str, account: str, account_name: str, path: str, template: str) -> None:
    record = replace(RECORD, name=name, account_id=account, account_name=account_name)
    file_name = file_name_of(at(path), name)
    assert 0 < len(file_name.encode()) <= 200
    assert "".join(split_name(file_name)) == file_name
    try:
        key = destination_key(template, record, file_name, at(path))
    except Refused:
        assert len(account_name.encode("utf-8", "replace") + path.encode()) > 300
    else:
        assert is_sound(key)
        assert is_sound(changed_key(key, "0" * 32))
        assert RECORD.id in key


@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.tuples(WILD, WILD), min_size=2, max_size=4))
def test_two_records_never_share_a_key(names: list[tuple[str, str]]) -> None:
    keys = set()
    for number, (name, path) in enumerate(names):
        record = replace(RECORD, id=f"a0000000000000{number}AAA", name=name)
        keys.add(destination_key(TEMPLATE, record, file_name_of(at(path), name), at(path)).lower())
    assert len(keys) == len(names)
