"""What each request means: S3's verbs over the store, in as few steps as will do. Signatures are not looked at."""

from __future__ import annotations

import base64
import hashlib
import re
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from benchmarks.standin import answers
from benchmarks.standin.answers import Answer, Refusal, copied, element, empty, xml
from benchmarks.standin.content import PERIOD, Upload, composite, md5_of
from benchmarks.standin.store import Entry, OpenUpload, Ordinary, PartEntry, Prepared, listing

_PART = re.compile(rb"<Part>(.*?)</Part>", re.DOTALL)
_PART_NUMBER = re.compile(rb"<PartNumber>\s*(\d+)\s*</PartNumber>")
_PART_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([0-9a-f]{32})(?:&quot;|&#34;|\")?</ETag>")
_SUM = "x-amz-checksum-"
_MIN_PART = 5 << 20


@dataclass(slots=True)
class Asked:
    """One request, its body already read."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name."""
    upload: Upload | None = None
    text: bytes = b""


@dataclass(slots=True)
class Pace:
    """What a client feels. ``refuse_above``: requests a second beyond which S3 says SlowDown; None: never."""

    latency_ms: float = 0.0
    bandwidth: float | None = None
    """Bytes a second of each connection, each way."""
    refuse_above: float | None = None
    retry_after_s: int | None = None


@dataclass(slots=True)
class Counts:
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0
    connections: int = 0
    most_in_flight: int = 0
    in_flight: int = 0


class Service:
    """All buckets behind one endpoint. ``keep``: bodies up to so many bytes that are not the pattern are kept."""

    def __init__(self, pace: Pace, keep: int = 64 << 10) -> None:
        self.pace = pace
        self.keep = keep
        self.counts = Counts()
        self.buckets: dict[str, Prepared | Ordinary] = {}
        self.uploads: dict[str, OpenUpload] = {}
        self._number = 0
        self._tokens = 0.0
        self._filled = time.monotonic()

    def answer(self, asked: Asked) -> Answer:
        """The answer to anything; never raises."""
        if asked.bucket.startswith("__"):
            return self._control(asked)
        counts = self.counts
        verb, act = self._verb(asked)
        counts.requests[verb] += 1
        try:
            if self.pace.refuse_above is not None and self._too_fast(self.pace.refuse_above):
                wait = self.pace.retry_after_s
                raise Refusal(503, "SlowDown", fields=f"Retry-After: {wait}\r\n" if wait is not None else "")
            done = act(asked)
        except Refusal as error:
            done = answers.refused(error, bodiless=asked.method == "HEAD")
        counts.statuses[done.status] += 1
        return done

    def _verb(self, asked: Asked) -> tuple[str, Callable[[Asked], Answer]]:
        method, query = asked.method, asked.query
        if not asked.key:
            return self._bucket_verb(method, query)
        copies = "x-amz-copy-source" in asked.headers
        if "uploadId" in query or "uploads" in query:
            found = {
                ("POST", True): ("CreateMultipartUpload", self._create),
                ("POST", False): ("CompleteMultipartUpload", self._complete),
                ("PUT", False): ("UploadPartCopy", self._part_copy) if copies else ("UploadPart", self._part),
                ("DELETE", False): ("AbortMultipartUpload", self._abort),
            }.get((method, "uploads" in query))
        elif method == "PUT":
            found = ("CopyObject", self._copy) if copies else ("PutObject", self._put)
        else:
            found = {
                "GET": ("GetObject", self._get),
                "HEAD": ("HeadObject", self._get),
                "DELETE": ("DeleteObject", self._delete),
            }.get(method)
        return found or ("Unknown", _unknown)

    def _bucket_verb(self, method: str, query: Mapping[str, str]) -> tuple[str, Callable[[Asked], Answer]]:
        if method == "HEAD":
            return "HeadBucket", self._head_bucket
        if method == "PUT":
            return "CreateBucket", self._create_bucket
        if method != "GET":
            return "Unknown", _unknown
        if "location" in query:
            return "GetBucketLocation", self._location
        if "uploads" in query:
            return "ListMultipartUploads", self._list_uploads
        return "ListObjects", self._list

    def _bucket(self, name: str) -> Prepared | Ordinary:
        found = self.buckets.get(name)
        if found is None:
            raise Refusal(404, "NoSuchBucket")
        return found

    def _ours(self, name: str) -> Ordinary:
        found = self._bucket(name)
        if isinstance(found, Prepared):
            raise Refusal(403, "AccessDenied", "prepared buckets are read only")
        return found

    def _head_bucket(self, asked: Asked) -> Answer:
        self._bucket(asked.bucket)
        return empty(200, "x-amz-bucket-region: us-east-1\r\n")

    def _create_bucket(self, asked: Asked) -> Answer:
        self.buckets.setdefault(asked.bucket, Ordinary())
        return empty()

    def _location(self, asked: Asked) -> Answer:
        self._bucket(asked.bucket)
        return xml(element("LocationConstraint"))

    def _list(self, asked: Asked) -> Answer:
        if not asked.bucket:
            inside = "".join(
                f"<Bucket><Name>{name}</Name><CreationDate>{answers.STAMP}</CreationDate></Bucket>"
                for name in self.buckets
            )
            return xml(f"<ListAllMyBucketsResult><Buckets>{inside}</Buckets></ListAllMyBucketsResult>")
        bucket, query = self._bucket(asked.bucket), asked.query
        limit = min(int(query.get("max-keys", "1000")), 1000)
        after = query.get("start-after", "") or query.get("marker", "")
        if token := query.get("continuation-token"):
            after = base64.urlsafe_b64decode(token).decode()
        page = listing(bucket.keys, query.get("prefix", ""), query.get("delimiter", ""), after, limit)
        entries = {key: entry for key in page.keys if (entry := bucket.get(key)) is not None}
        token = base64.urlsafe_b64encode(page.last.encode()).decode()
        return answers.listed(asked.bucket, page, entries, query, token, limit)

    def _list_uploads(self, asked: Asked) -> Answer:
        self._bucket(asked.bucket)
        prefix = asked.query.get("prefix", "")
        found = sorted(
            (upload.key, identity)
            for identity, upload in self.uploads.items()
            if upload.bucket == asked.bucket and upload.key.startswith(prefix)
        )
        rows = "".join(
            element("Upload", Key=key, UploadId=identity, Initiated=answers.STAMP) for key, identity in found[:1000]
        )
        return xml(
            f"<ListMultipartUploadsResult><Bucket>{asked.bucket}</Bucket><IsTruncated>false</IsTruncated>"
            f"{rows}</ListMultipartUploadsResult>"
        )

    def _get(self, asked: Asked) -> Answer:
        entry = self._bucket(asked.bucket).get(asked.key)
        if entry is None:
            raise Refusal(404, "NoSuchKey")
        wanted = asked.headers.get("if-match")
        if wanted is not None and wanted.strip('"') != entry.etag:
            raise Refusal(412, "PreconditionFailed")
        status, start, length, fields = 200, 0, entry.size, answers.object_fields(entry)
        if "range" in asked.headers:
            start, length = _span(asked.headers["range"], entry.size)
            status = 206
            fields += f"Content-Range: bytes {start}-{start + length - 1}/{entry.size}\r\n"
        head = answers.head_of(status, length, fields)
        if asked.method == "HEAD" or not length:
            return Answer(status, head)
        if entry.lost:
            raise Refusal(501, "NotImplemented", "the bytes of this object were not kept")
        self.counts.bytes_out += length
        if entry.body is not None:
            return Answer(status, head + entry.body[start : start + length])
        return Answer(status, head, entry, start, length)

    def _copy(self, asked: Asked) -> Answer:
        entry, bucket = self._source(asked), self._ours(asked.bucket)
        self._must_be_free(asked, bucket)
        bucket.put(asked.key, entry)
        return copied(entry.etag, "CopyObjectResult")

    def _source(self, asked: Asked) -> Entry:
        name = unquote(asked.headers["x-amz-copy-source"].partition("?versionId=")[0]).lstrip("/")
        source, _, key = name.partition("/")
        entry = self._bucket(source).get(key)
        if entry is None:
            raise Refusal(404, "NoSuchKey")
        wanted = asked.headers.get("x-amz-copy-source-if-match")
        if wanted is not None and wanted.strip('"') != entry.etag:
            raise Refusal(412, "PreconditionFailed")
        return entry

    def _must_be_free(self, asked: Asked, bucket: Ordinary) -> None:
        if asked.headers.get("if-none-match") == "*" and bucket.get(asked.key) is not None:
            raise Refusal(412, "PreconditionFailed")

    def _put(self, asked: Asked) -> Answer:
        bucket, upload = self._ours(asked.bucket), asked.upload or Upload(0)
        self._must_be_free(asked, bucket)
        shown = _checked(asked, upload)
        kind = asked.headers.get("content-type", "binary/octet-stream")
        lost = not upload.matches and upload.body is None
        bucket.put(asked.key, Entry(upload.size, upload.md5, kind, upload.body, lost))
        return empty(200, f'ETag: "{upload.md5}"\r\n{shown}')

    def _delete(self, asked: Asked) -> Answer:
        self._ours(asked.bucket).delete(asked.key)
        return empty(204)

    def _create(self, asked: Asked) -> Answer:
        self._ours(asked.bucket)
        self._number += 1
        identity = f"upload-{self._number}"
        kind = asked.headers.get("content-type", "binary/octet-stream")
        self.uploads[identity] = OpenUpload(asked.bucket, asked.key, kind)
        named = asked.headers.get("x-amz-checksum-algorithm", "")
        return xml(
            element("InitiateMultipartUploadResult", Bucket=asked.bucket, Key=asked.key, UploadId=identity),
            f"x-amz-checksum-algorithm: {named}\r\n" if named else "",
        )

    def _open(self, asked: Asked) -> OpenUpload:
        found = self.uploads.get(asked.query["uploadId"])
        if found is None or (found.bucket, found.key) != (asked.bucket, asked.key):
            raise Refusal(404, "NoSuchUpload")
        return found

    def _part(self, asked: Asked) -> Answer:
        open_upload, upload = self._open(asked), asked.upload or Upload(0)
        shown = _checked(asked, upload)
        sha256 = asked.headers.get(f"{_SUM}sha256", "")
        number = int(asked.query["partNumber"])
        open_upload.parts[number] = PartEntry(upload.size, upload.md5, upload.matches, sha256)
        return empty(200, f'ETag: "{upload.md5}"\r\n{shown}')

    def _part_copy(self, asked: Asked) -> Answer:
        open_upload, entry = self._open(asked), self._source(asked)
        span = asked.headers.get("x-amz-copy-source-range")
        start, size = _span(span, entry.size) if span else (0, entry.size)
        md5 = md5_of(start % PERIOD, size)
        matches = entry.body is None and not entry.lost and start % PERIOD == 0
        open_upload.parts[int(asked.query["partNumber"])] = PartEntry(size, md5, matches)
        return copied(md5, "CopyPartResult")

    def _complete(self, asked: Asked) -> Answer:
        upload, bucket = self._open(asked), self._ours(asked.bucket)
        self._must_be_free(asked, bucket)
        parts = [_named(upload, found) for found in _PART.findall(asked.text)]
        if not parts:
            raise Refusal(400, "MalformedXML")
        if any(part.size < _MIN_PART for part in parts[:-1]):
            raise Refusal(400, "EntityTooSmall")
        size = sum(part.size for part in parts)
        etag = composite([part.md5 for part in parts])
        whole = all(part.matches for part in parts) and all(part.size % PERIOD == 0 for part in parts[:-1])
        bucket.put(asked.key, Entry(size, etag, upload.content_type, None, not whole))
        del self.uploads[asked.query["uploadId"]]
        more = {name: value for name, value in _sums(asked).items() if asked.headers.get(_SUM + "type")}
        if all(part.sha256 for part in parts):
            joined = b"".join(base64.b64decode(part.sha256) for part in parts)
            value = f"{base64.b64encode(hashlib.sha256(joined).digest()).decode()}-{len(parts)}"
            more |= {"ChecksumSHA256": value, "ChecksumType": "COMPOSITE"}
        return xml(
            element("CompleteMultipartUploadResult", Bucket=asked.bucket, Key=asked.key, ETag=f'"{etag}"', **more)
        )

    def _abort(self, asked: Asked) -> Answer:
        self._open(asked)
        del self.uploads[asked.query["uploadId"]]
        return empty(204)

    def _too_fast(self, rate: float) -> bool:
        now = time.monotonic()
        self._tokens = min(rate / 10, self._tokens + (now - self._filled) * rate)
        self._filled = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    def _control(self, asked: Asked) -> Answer:
        """``GET /__counts__``; ``POST /__reset__`` empties ordinary buckets and counts; ``POST /__pace__`` JSON;
        ``POST /__lay__`` puts objects into an ordinary bucket, see ``_lay``."""
        if asked.bucket == "__reset__":
            for name, bucket in self.buckets.items():
                if isinstance(bucket, Ordinary):
                    self.buckets[name] = Ordinary()
            self.uploads.clear()
        if asked.bucket in {"__reset__", "__clear__"}:
            self.counts = Counts(connections=self.counts.connections)
        if asked.bucket == "__lay__":
            self._lay(**orjson.loads(asked.text))
        if asked.bucket == "__pace__":
            self.pace = Pace(**orjson.loads(asked.text))
        body = orjson.dumps(self.state())
        return Answer(200, answers.head_of(200, len(body), "Content-Type: application/json\r\n") + body)

    def _lay(self, bucket: str, source: str, objects: Sequence[tuple[str, str, str]]) -> None:
        """Copies under these keys of that source's objects: (key, source key, ETag; empty: the source's)."""
        ours, theirs = self._ours(bucket), self._bucket(source)
        for key, name, etag in objects:
            entry = theirs.get(name)
            if entry is not None:
                ours.put(key, entry._replace(etag=etag) if etag else entry)

    def state(self) -> dict[str, Any]:
        """Counts since the last reset, objects per bucket, CPU seconds and peak RSS in bytes of this process."""
        counts, used = self.counts, resource.getrusage(resource.RUSAGE_SELF)
        return {
            "requests": dict(counts.requests),
            "statuses": {str(status): number for status, number in counts.statuses.items()},
            "bytes_in": counts.bytes_in,
            "bytes_out": counts.bytes_out,
            "most_in_flight": counts.most_in_flight,
            "connections": counts.connections,
            "objects": {name: len(bucket) for name, bucket in self.buckets.items()},
            "sizes": {name: bucket.size for name, bucket in self.buckets.items()},
            "open_uploads": len(self.uploads),
            "cpu_s": used.ru_utime + used.ru_stime,
            "rss": used.ru_maxrss * 1024,
        }


def query_of(text: str) -> dict[str, str]:
    """A query string, flags included."""
    return dict(parse_qsl(text, keep_blank_values=True))


def _unknown(asked: Asked) -> Answer:
    raise Refusal(501, "NotImplemented", f"{asked.method} {sorted(asked.query)}")


def _span(text: str, size: int) -> tuple[int, int]:
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not first:
        length = min(int(last), size)
        return size - length, length
    start = int(first)
    if start >= size:
        raise Refusal(416, "InvalidRange")
    return start, min(int(last) + 1 if last else size, size) - start


def _named(upload: OpenUpload, found: bytes) -> PartEntry:
    number, etag = _PART_NUMBER.search(found), _PART_ETAG.search(found)
    part = upload.parts.get(int(number[1])) if number else None
    if part is None or etag is None or etag[1].decode() != part.md5:
        raise Refusal(400, "InvalidPart")
    return part


def _checked(asked: Asked, upload: Upload) -> str:
    """Refuse what arrived damaged; answer with the checksums that were sent, as header lines."""
    headers = asked.headers
    sent = headers.get("content-md5")
    if sent and base64.b64decode(sent).hex() != upload.md5:
        raise Refusal(400, "BadDigest")
    sent = headers.get(f"{_SUM}sha256")
    if sent and upload.sha256 not in {None, base64.b64decode(sent)}:
        raise Refusal(400, "BadDigest")
    return "".join(
        f"{name}: {value}\r\n"
        for name, value in headers.items()
        if name.startswith(_SUM) and name not in {f"{_SUM}type", f"{_SUM}algorithm", f"{_SUM}mode"}
    )


def _sums(asked: Asked) -> dict[str, str]:
    names = {"crc32": "CRC32", "crc32c": "CRC32C", "crc64nvme": "CRC64NVME", "sha1": "SHA1", "sha256": "SHA256"}
    found = {f"Checksum{names[n]}": asked.headers[_SUM + n] for n in names if _SUM + n in asked.headers}
    return found | ({"ChecksumType": asked.headers[_SUM + "type"]} if found else {})
