"""File and account names of the shapes that a real org holds after ten years of uploads by hand."""

from __future__ import annotations

import random
import unicodedata

_SUBJECTS = (
    "Invoice", "Lease Agreement", "W9", "Insurance Certificate", "Floor plan", "Inspection report", "Deed of trust",
    "Payroll", "Minutes", "Photo", "Change Order", "Statement of Account", "Bid", "Permit", "Scan",
)  # fmt: skip

_EXTENSIONS = (
    (".pdf", "application/pdf", 62),
    (".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", 12),
    (".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", 8),
    (".jpg", "image/jpeg", 8),
    (".PNG", "image/png", 3),
    (".msg", "application/vnd.ms-outlook", 3),
    (".txt", "text/plain; charset=utf-8", 2),
    (".csv", "text/csv", 1),
    ("", "binary/octet-stream", 1),
)

# shapes met in the field: dates as extensions, half downloads, quotes, plus signs, emoji, both forms of Unicode
_FILTHY = (
    "{s} #{n} & Co.pdf",
    "{s}+{n} (final) (2).docx",
    "100% {s} {n}.pdf",
    "{s}%20{n}.pdf",
    "{s} {n}.docx_10/31/24_13:44:17",
    "{s} {n}.27 (non-resident)",
    "{s} {n}.crdownload",
    "Café Söhne {s} {n}.pdf",
    "ÅNGSTRÖM – {s} “{n}”.pdf",
    "{s}'s “quoted” name; {n}.pdf",
    "报告 {s} {n}.xlsx",
    "{s}\u00a0{n}\u200b.pdf",
    "🏗 {s} {n}.jpg",
    "{s}   {n}   .pdf",
    "=HYPERLINK({n}) {s}.csv",
    "{s}~{n}!$&'()*,;=@.pdf",
    "{s}?version={n}.pdf",
    "-{s}-{n}-",
    "{s}.{n}.tar.gz",
    "%%{s}%2F{n}.pdf",
)

_FIRMS = (
    "Acme", "Globex", "Initech", "Umbrella", "Soylent", "Stark & Sons", "Wayne #5 & Co", "Müller + Söhne",
    "Tyrell, Inc.", "Łódź Properties", "O'Hara \"East\"", "Nakatomi",
)  # fmt: skip


def account_name(chance: random.Random, number: int) -> str:
    """The name of one account."""
    return f"{chance.choice(_FIRMS)} {chance.choice(('Holdings', 'Partners', 'LLC', 'Trust', 'GmbH'))} {number}"


def plain_name(chance: random.Random, number: int) -> tuple[str, str]:
    """A well-behaved file name and its content type."""
    extension, content_type, _ = chance.choices(_EXTENSIONS, weights=[e[2] for e in _EXTENSIONS])[0]
    return f"{chance.choice(_SUBJECTS)} {number}{extension}", content_type


def filthy_name(chance: random.Random, number: int) -> tuple[str, str]:
    """A file name that breaks naive code, composed (NFC) or decomposed (NFD), and its content type."""
    name = chance.choice(_FILTHY).format(s=chance.choice(_SUBJECTS), n=number)
    name = unicodedata.normalize("NFC" if chance.random() < 0.5 else "NFD", name)
    return name, "application/octet-stream"


#: Values of the URL field that name no file of the vendor, with the failure class that each must end in.
USELESS_URLS: tuple[tuple[str, str], ...] = (
    ("see attachment", "bad_url"),
    ("mailto:office@example.test", "bad_url"),
    ("file:///C:/Users/bob/Desktop/scan.pdf", "bad_url"),
    ("javascript:alert(1)", "bad_url"),
    ("https://", "bad_url"),
    ("https:///no-host.pdf", "bad_url"),
    ("\\\\fileserver\\share\\lease.pdf", "bad_url"),
    ("http://169.254.169.254/latest/meta-data/", "host_not_allowed"),
    ("https://www.dropbox.test/s/abc/lease.pdf", "host_not_allowed"),
    ("https://other-vendor.s3.amazonaws.com/lease.pdf", "host_not_allowed"),
    ("http://127.0.0.1:9/admin.pdf", "host_not_allowed"),
)
