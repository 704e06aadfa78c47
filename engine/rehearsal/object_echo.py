"""Checksums kept and told as AWS does (moto hides them, see ``object_sums``), and objects read by their parts.

What a write states is remembered with the object and answered to that write, and to HEAD and GET in checksum mode. Of
parts and completions what does not fit is refused, as AWS refuses it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlencode

from engine.rehearsal import object_store
from engine.rehearsal.object_checks import Request
from engine.rehearsal.object_faults import Answer, error_answer
from engine.rehearsal.object_sums import HEADER, Sum, asked_for, of_parts, parts_in, stated, value_of

_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_HIDDEN = re.compile(r"HTTP_X_AMZ_(CHECKSUM_.*|SDK_CHECKSUM_ALGORITHM)")
_NO_CONTENT = frozenset({"tagging", "acl", "retention", "legal-hold"})


def quiet(environ: Mapping[str, Any], asked: Request) -> dict[str, Any]:
    """What moto is asked: nothing of checksums, and of a part the whole, which is cut here."""
    kept = {name: value for name, value in environ.items() if not _HIDDEN.fullmatch(name)}
    if asked.method in {"GET", "HEAD"} and "partNumber" in asked.query and "uploadId" not in asked.query:
        query = urlencode({name: value for name, value in asked.query.items() if name != "partNumber"})
        kept["QUERY_STRING"] = query
        kept["RAW_URI"] = kept["REQUEST_URI"] = environ["RAW_URI"].partition("?")[0] + (f"?{query}" if query else "")
    return kept


def refusal(asked: Request) -> Answer | None:
    """The answer to a part or a completion that AWS would not take, or None."""
    upload = object_store.upload_of(asked.bucket, asked.query.get("uploadId", ""))
    if upload is None:
        return None
    if asked.method == "PUT":
        sums = stated(asked.headers)
        return error_answer(400, "InvalidRequest") if sums and upload.summed_by not in sums else None
    return _completion_refusal(asked, upload) if asked.method == "POST" else None


def _completion_refusal(asked: Request, upload: object_store.Upload) -> Answer | None:
    named = parts_in(asked.body)
    numbers = [int(each["PartNumber"]) for each in named]
    if not set(numbers) <= set(upload.parts):
        return None  # moto says so itself
    values = [upload.parts[number].value for number in numbers]
    for leaves, value in zip(named, values, strict=True):
        told = stated(leaves)
        if any(theirs != value_of(algorithm, value) for algorithm, theirs in told.items()):
            return error_answer(400, "InvalidPart")
        if upload.sum_kind == "COMPOSITE" and upload.summed_by not in told:
            return error_answer(400, "InvalidRequest")
    size = asked.headers.get("x-amz-mp-object-size")
    if size is not None and size != str(sum(map(len, values))):
        return error_answer(400, "InvalidRequest")
    if asked.headers.get(HEADER + "type", upload.sum_kind) != upload.sum_kind:
        return error_answer(400, "InvalidRequest")
    said = stated(asked.headers)
    whole = _sum_of(upload, values) if said else None
    return error_answer(400, "BadDigest") if whole is not None and said != {whole.algorithm: whole.value} else None


def echoed(asked: Request, answer: Answer) -> Answer:
    """The answer of a success with what AWS says in it, and the object as AWS keeps it."""
    if answer.status not in {200, 206} or not asked.key or _NO_CONTENT & asked.query.keys():
        return answer
    query = asked.query
    match asked.method:
        case "GET" | "HEAD":
            return _read(asked, answer)
        case "POST" if "uploads" in query:
            _begun(asked, answer)
            return answer
        case "POST" if "uploadId" in query:
            return _completed(asked, answer)
        case "PUT" if "uploadId" in query:
            upload = object_store.upload_of(asked.bucket, query["uploadId"])
            if upload is None or not (stated(asked.headers) or "x-amz-copy-source" in asked.headers):
                return answer
            part = upload.parts[int(query["partNumber"])]
            return _told(answer, Sum(upload.summed_by, value_of(upload.summed_by, part.value), kind=""))
        case "PUT":
            return _put(asked, answer)
        case _:
            return answer


def _read(asked: Request, answer: Answer) -> Answer:
    key = object_store.find(asked.bucket, asked.key, asked.query.get("versionId"))
    if key is None or answer.status != 200:
        return answer
    if "partNumber" in asked.query:
        return _part(answer, key.part_sizes, key.size, int(asked.query["partNumber"]))
    wanted = asked.headers.get(HEADER + "mode", "").upper() == "ENABLED"
    return _headed(answer, key.checksum) if wanted and key.checksum is not None else answer


def _part(answer: Answer, sizes: tuple[int, ...], size: int, number: int) -> Answer:
    """One part of an object: as it was uploaded, or the only one there is."""
    parts = sizes or (size,)
    if not 1 <= number <= len(parts):
        return error_answer(416, "InvalidPartNumber")
    first, length = sum(parts[: number - 1]), parts[number - 1]
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
    headers += [("Content-Length", str(length)), ("Content-Range", f"bytes {first}-{first + length - 1}/{size}")]
    headers += [("x-amz-mp-parts-count", str(len(sizes)))] if sizes else []
    return Answer(206 if size else 200, tuple(headers), answer.body[first : first + length])


def _begun(asked: Request, answer: Answer) -> None:
    found = _UPLOAD_ID.search(answer.body)
    upload = object_store.upload_of(asked.bucket, found[1].decode()) if found else None
    if upload is not None:
        upload.summed_by = asked_for(asked.headers)
        named = asked.headers.get(HEADER + "type", "").upper()
        upload.sum_kind = named or ("FULL_OBJECT" if upload.summed_by == "crc64nvme" else "COMPOSITE")


def _completed(asked: Request, answer: Answer) -> Answer:
    key = object_store.find(asked.bucket, asked.key)
    if key is None or not isinstance(key.multipart, object_store.Upload):
        return answer
    values = [key.multipart.parts[int(each["PartNumber"])].value for each in parts_in(asked.body)]
    checksum = _sum_of(key.multipart, values) if key.multipart.summed_by else None
    key.made_of(tuple(map(len, values)), checksum)
    return answer if checksum is None else _told(answer, checksum)


def _put(asked: Request, answer: Answer) -> Answer:
    key = object_store.find(asked.bucket, asked.key)
    if key is None:
        return answer
    source = None
    if "x-amz-copy-source" in asked.headers and HEADER + "algorithm" not in asked.headers:
        name, _, version = asked.headers["x-amz-copy-source"].partition("?versionId=")
        bucket, _, from_key = unquote(name).lstrip("/").partition("/")
        source = object_store.find(bucket, from_key, version or None)
    key.summed_by = (source.summed_by if source is not None else "") or asked_for(asked.headers)
    return answer if key.checksum is None else _told(answer, key.checksum)


def _sum_of(upload: object_store.Upload, values: list[bytes]) -> Sum:
    if upload.sum_kind == "COMPOSITE":
        return of_parts(upload.summed_by, values)
    return Sum(upload.summed_by, value_of(upload.summed_by, b"".join(values)))


def _told(answer: Answer, checksum: Sum) -> Answer:
    """The answer to a write with a checksum in its document, or in its headers where it has none."""
    start, end, tail = answer.body.rpartition(b"</")
    if end and tail.endswith(b"Result>"):
        return dataclasses.replace(answer, body=start + checksum.elements + end + tail)
    return _headed(answer, checksum)


def _headed(answer: Answer, checksum: Sum) -> Answer:
    return dataclasses.replace(answer, headers=(*answer.headers, *checksum.headers))
