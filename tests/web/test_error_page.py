"""Error pages, told from files."""

from __future__ import annotations

import pytest

from engine.web.error_page import is_message, looks_like_error_page

S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>x</Message></Error>'


@pytest.mark.parametrize(
    ("content_type", "first", "name"),
    [
        ("text/html", b"<!DOCTYPE html><html>", "a.pdf"),
        ("text/html; charset=UTF-8", b"\n\n <HTML>", "a.docx"),
        ("TEXT/HTML", b"\xef\xbb\xbf<!-- x --><html>", "a.jpg"),
        ("application/xhtml+xml", b'<?xml version="1.0"?><!DOCTYPE html>', "a.pdf"),
        ("", b"<html><head>", "a.pdf"),
        ("text/html", b"<title>Sign in</title>", "no extension"),
        ("text/html", b"<form action=/login>", "archive.html.zip"),
        ("application/xml", S3_ERROR, "a.pdf"),
        ("", S3_ERROR, "a.pdf"),
        ("text/plain", b"<Error><Message>x</Message></Error>", "a"),
    ],
)
def test_pages_in_the_place_of_files_are_found(content_type: str, first: bytes, name: str) -> None:
    assert looks_like_error_page(content_type, first, name)


@pytest.mark.parametrize(
    ("content_type", "first", "name"),
    [
        ("text/html", b"<!DOCTYPE html><html>", "page.html"),
        ("text/html", b"<html>", "PAGE.HTM"),
        ("application/xml", S3_ERROR, "errors.xml"),
        ("image/svg+xml", b"<svg", "a.svg"),
        ("text/html", b"%PDF-1.7", "a.pdf"),
        ("text/html", b"", "a.pdf"),
        ("text/html", b"\x1f\x8b\x08", "a.csv"),
        ("application/vnd.ms-excel", b"<html xmlns:x>", "report.xls"),
        ("application/octet-stream", b"<html>", "mail.msg"),
        ("application/pdf", S3_ERROR, "a.pdf"),
        ("text/plain", b"<p>not html by its type</p>", "notes.txt"),
        ("application/xml", b'<?xml version="1.0"?><Invoice>', "a.p7m"),
        ("text/xml", b"<ErrorReport><Code>", "a.dat"),
        ("text/html", b"<htmlish>", "a.txt"),
        ("text/html", b"less < more", "a.txt"),
    ],
)
def test_files_pass(content_type: str, first: bytes, name: str) -> None:
    assert not looks_like_error_page(content_type, first, name)


def test_a_hostile_beginning_costs_no_time() -> None:
    assert not looks_like_error_page("text/html", b"<!--" * 100_000, "a.pdf")
    assert not looks_like_error_page("text/html", b" " * 1_000_000, "a.pdf")
    assert not looks_like_error_page("text/html", b"<!-- -->" * 100_000 + b"<?xml", "a.pdf")


LIMIT, JSON = b"rate limited, try again in 30 s", b'{"error": "session expired"}'


@pytest.mark.parametrize(
    ("content_type", "first", "name"),
    [
        ("application/pdf", LIMIT, "a.pdf"),
        ("text/plain", LIMIT, "a.pdf"),
        ("application/json", JSON, "scan.TIFF"),
        ("application/octet-stream", JSON, "a.docx"),
        ("", LIMIT, "photo.jpg"),
        ("application/pdf", S3_ERROR, "a.pdf"),
        ("application/pdf", b"<html><body>Sign in", "a.pdf"),
        ("application/pdf", LIMIT, "no extension"),
        ("image/png", JSON, ""),
        ("application/json", JSON, "report.xls"),
        ("text/plain", LIMIT, "letter.doc"),
        ("text/plain", b"BMW says: too many requests", "car.bmp"),
    ],
)
def test_messages_in_the_place_of_files_are_found(content_type: str, first: bytes, name: str) -> None:
    assert is_message(content_type, first, name, len(first))


@pytest.mark.parametrize(
    ("content_type", "first", "name"),
    [
        ("text/plain", LIMIT, "notes.txt"),
        ("text/csv", b"a;b;c", "a.csv"),
        ("application/json", JSON, "a.json"),
        ("text/plain", b"Received: from here", "a.eml"),
        ("application/octet-stream", LIMIT, "a.dat"),
        ("", LIMIT, "no extension"),
        ("text/plain", LIMIT, "no extension"),
        ("application/vnd.ms-excel", b"name\tvalue\n1\t2", "report.xls"),
        ("application/msword", b"a plain letter", "letter.doc"),
        ("text/plain", b"{\\rtf1\\ansi", "letter.doc"),
        ("application/pdf", b"%PDF-1.4\n1 0 obj", "a.pdf"),
        ("application/pdf", b"sent by a scanner\r\n%PDF-1.4", "a.pdf"),
        ("image/svg+xml", b"<svg", "a.svg"),
        ("image/jpeg", b"\xff\xd8\xff\xe0", "a.jpg"),
        ("application/zip", b"PK\x03\x04", "a.docx"),
        ("application/pdf", b"", "a.pdf"),
        ("application/pdf", b"l\x00i\x00m\x00i\x00t\x00", "a.pdf"),
    ],
)
def test_what_may_be_a_file_is_no_message(content_type: str, first: bytes, name: str) -> None:
    assert not is_message(content_type, first, name, len(first))


@pytest.mark.parametrize("size", [None, 100_000])
def test_only_short_words_are_a_message_but_markup_of_any_length(size: int | None) -> None:
    assert not is_message("application/pdf", b"words " * 80, "a.pdf", size)
    assert is_message("application/pdf", b'[{"error": 1}, ' * 30, "a.pdf", size)
