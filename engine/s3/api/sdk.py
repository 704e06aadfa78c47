"""The S3 client through aiobotocore: slow and complete. The fast one is measured against it.

A handler puts the caller's headers into each request just before it is signed, so both transports send the same.
Retries are off: they happen in one place, above. Redirects are never followed: aiobotocore would follow them to any
host and forward the session token. Every call has a time limit of its own, because the SDK has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from engine.limiting.backoff import retry_after_s
from engine.limiting.clock import Clock
from engine.limiting.open_files import none_left
from engine.model.byte_units import KIB, MB
from engine.model.ports import Fill
from engine.s3.api.answers import (
    Answer,
    Bytes,
    Fields,
    Listed,
    ListingPage,
    OpenUpload,
    Part,
    StoreError,
    StreamedAnswer,
    UploadsPage,
    proven,
    unquoted,
)
from engine.s3.api.client import reading_time, time_for
from engine.s3.api.listing import page_of
from engine.s3.api.service import Service
from engine.s3.api.uploads import ELEMENT_OF
from engine.s3.api.way_out import WayOut, sdk_config
from engine.s3.api.xml import as_fields

QUICK_S = 60.0
CHUNK = 256 * KIB
_extra: ContextVar[Fields] = ContextVar("_extra", default={})  # noqa: B039 - never mutated


def lay_headers(params: dict[str, Any], **_: object) -> None:
    """Put the caller's headers into a request about to be signed (botocore's ``before-call`` event), and remove
    ``Expect``: the SDK would send it with every body, and some proxies refuse it (417)."""
    params["headers"].pop("Expect", None)
    params["headers"].update(_extra.get())


def stay(context: dict[str, Any], **_: object) -> None:
    """Keep the SDK from looking for the bucket in another region. Where every answer is a redirect, its own HeadBucket
    would recurse without end; and a custom endpoint has no other region."""
    context.setdefault("s3_redirect", {})["redirected"] = True


class SdkClient:
    """Fits ``S3Client``. ``client`` is an open aiobotocore S3 client with ``lay_headers`` registered."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def head(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None, part: int | None = None
    ) -> Answer:
        more: dict[str, Any] = {**_version(version_id), **({} if part is None else {"PartNumber": part})}
        return _answer(await self._call("head_object", headers, Bucket=bucket, Key=key, **more))

    async def tags(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> tuple[tuple[str, str], ...]:
        told = await self._call("get_object_tagging", headers, Bucket=bucket, Key=key, **_version(version_id))
        return tuple((row["Key"], row["Value"]) for row in told.get("TagSet", []))

    @asynccontextmanager
    async def get(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> AsyncIterator[StreamedAnswer]:
        told = await self._call("get_object", headers, Bucket=bucket, Key=key, **_version(version_id))
        body = told["Body"]
        try:
            yield _Body(_fields(told), body, self._clock)
        finally:
            body.close()

    async def read(
        self, bucket: str, key: str, headers: Fields, *, size: int, version_id: str | None = None
    ) -> tuple[Answer, bytes]:
        body = bytearray()
        async with self.get(bucket, key, headers, version_id=version_id) as answer:
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > size:
                    raise StoreError("PreconditionFailed", 412, f"the object holds more than {size} bytes")
        return Answer(200, answer.fields), bytes(body)

    async def put(self, bucket: str, key: str, body: Bytes, headers: Fields, *, sha256: str) -> Answer:
        limit = time_for(len(body))
        return proven(_answer(await self._call("put_object", headers, limit, Bucket=bucket, Key=key, Body=bytes(body))))

    async def copy(self, bucket: str, key: str, headers: Fields, *, size: int) -> Answer:
        source = headers["x-amz-copy-source"]
        told = await self._call("copy_object", headers, time_for(size), Bucket=bucket, Key=key, CopySource=source)
        return proven(_answer(told, told.get("CopyObjectResult")))

    async def create_upload(self, bucket: str, key: str, headers: Fields) -> str:
        told = await self._call("create_multipart_upload", headers, Bucket=bucket, Key=key)
        if not told.get("UploadId"):
            raise StoreError("BadAnswer", 0, "the store began an upload without an id")
        return str(told["UploadId"])

    async def upload_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Bytes, headers: Fields, *, sha256: str
    ) -> Answer:
        where = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return proven(_answer(await self._call("upload_part", headers, time_for(len(body)), **where, Body=bytes(body))))

    async def upload_part_copy(
        self, bucket: str, key: str, upload_id: str, number: int, headers: Fields, *, size: int
    ) -> Answer:
        where = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        source = headers["x-amz-copy-source"]
        told = await self._call("upload_part_copy", headers, time_for(size), **where, CopySource=source)
        return proven(_answer(told, told.get("CopyPartResult")))

    async def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: Sequence[Part], headers: Fields
    ) -> Answer:
        told = await self._call(
            "complete_multipart_upload",
            headers,
            time_for(len(parts) * MB),
            Bucket=bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [_part(each) for each in parts]},
        )
        return proven(_answer(told, told))

    async def abort_upload(self, bucket: str, key: str, upload_id: str, headers: Fields) -> None:
        await self._call("abort_multipart_upload", headers, Bucket=bucket, Key=key, UploadId=upload_id)

    async def list_objects(
        self, bucket: str, prefix: str, token: str, headers: Fields, *, after: str = "", limit: int = 1000
    ) -> ListingPage:
        more = {"ContinuationToken": token} if token else {"StartAfter": after} if after else {}
        told = await self._call("list_objects_v2", headers, Bucket=bucket, Prefix=prefix, MaxKeys=limit, **more)
        rows = [
            Listed(
                row["Key"],
                int(row["Size"]),
                unquoted(row.get("ETag", "")),
                row.get("StorageClass", "STANDARD"),
                row["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z") if row.get("LastModified") else "",
            )
            for row in told.get("Contents", [])
        ]
        return page_of(rows, told.get("NextContinuationToken", ""), truncated=bool(told.get("IsTruncated")))

    async def list_uploads(
        self, bucket: str, prefix: str, key_marker: str, id_marker: str, headers: Fields
    ) -> UploadsPage:
        more = {"KeyMarker": key_marker} if key_marker else {}
        more |= {"UploadIdMarker": id_marker} if id_marker else {}
        told = await self._call("list_multipart_uploads", headers, Bucket=bucket, Prefix=prefix, **more)
        rows = [
            OpenUpload(row["Key"], row["UploadId"], row["Initiated"].timestamp()) for row in told.get("Uploads", [])
        ]
        if not told.get("IsTruncated"):
            return UploadsPage(rows)
        return UploadsPage(rows, told.get("NextKeyMarker", ""), told.get("NextUploadIdMarker", ""))

    async def head_bucket(self, bucket: str, headers: Fields) -> Answer:
        return _answer(await self._call("head_bucket", headers, Bucket=bucket))

    async def ask(self, verb: str, headers: Fields, **arguments: str) -> dict[str, Any]:
        """Any other call of the SDK, by the name of its method; returns the parsed answer."""
        return await self._call(verb, headers, **arguments)

    async def _call(self, verb: str, headers: Fields, limit_s: float = QUICK_S, /, **arguments: Any) -> dict[str, Any]:
        from aiobotocore.response import aiohttp
        from botocore.exceptions import BotoCoreError, ClientError

        before = _extra.set(headers)
        try:
            async with asyncio.timeout(limit_s):
                told: dict[str, Any] = await getattr(self._client, verb)(**arguments)
                return told
        except ClientError as error:
            raise _refusal(error.response) from None
        except TimeoutError:
            raise StoreError("TimedOut", 0, f"no answer within {limit_s:.0f} s") from None
        except (BotoCoreError, aiohttp.ClientError, ConnectionError) as error:
            raise unreached(error) from None
        finally:
            _extra.reset(before)


class _Body:
    """A body through the SDK. It finds two failures itself: aiohttp's payload errors are no botocore errors, and a body
    without length or chunks ends silently wherever the connection does."""

    fill: Fill | None = None

    def __init__(self, fields: Fields, body: Any, clock: Clock) -> None:
        self.fields = fields
        self._body = body
        self._clock = clock

    async def chunks(self) -> AsyncIterator[bytes | memoryview]:
        from aiobotocore.response import aiohttp
        from botocore.exceptions import BotoCoreError

        framed = "content-length" in self.fields or "transfer-encoding" in self.fields
        waited, came = 0.0, 0
        try:
            while waited <= reading_time(came):
                asked = self._clock.monotonic()
                async with asyncio.timeout(QUICK_S):
                    chunk = await self._body.read(CHUNK)
                if not chunk:
                    break
                waited += self._clock.monotonic() - asked
                came += len(chunk)
                yield chunk
            else:
                raise TimeoutError
        except TimeoutError:
            raise StoreError("TimedOut", 0, "the body came too slowly") from None
        except (BotoCoreError, aiohttp.ClientError, ConnectionError) as error:
            raise StoreError("Unreachable", 0, f"the body broke off ({type(error).__name__})") from None
        if not framed:
            raise StoreError("BadAnswer", 0, "the body has neither length nor chunks: nothing proves that it is whole")


def _version(version_id: str | None) -> dict[str, str]:
    return {"VersionId": version_id} if version_id else {}


def _part(part: Part) -> dict[str, Any]:
    told: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.checksum:
        told[ELEMENT_OF[part.checksum[0]]] = part.checksum[1]
    return told


def _fields(told: dict[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = told.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return dict(headers)


def _answer(told: dict[str, Any], body: dict[str, Any] | None = None) -> Answer:
    fields = _fields(told)
    if body:
        fields |= as_fields({name: value for name, value in body.items() if isinstance(value, str)})
    return Answer(int(told.get("ResponseMetadata", {}).get("HTTPStatusCode", 200)), fields)


def _refusal(told: dict[str, Any]) -> StoreError:
    error, fields = told.get("Error", {}), _fields(told)
    status = int(told.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return StoreError(
        str(error.get("Code") or status),
        status if status >= 300 else 500,
        "" if str(error.get("Code", "")).isdecimal() else str(error.get("Message", "")),
        retry_after_s=retry_after_s(fields.get("retry-after", "")),
        region=fields.get("x-amz-bucket-region", "") or str(error.get("Region", "")),
    )


def unreached(error: BaseException) -> StoreError:
    """A client-side failure of the SDK as a StoreError. Only its kind is named: its text may hold URLs and headers."""
    kind = type(error).__name__
    if kind in {"SSLError", "ClientSSLError", "ClientConnectorSSLError", "ClientConnectorCertificateError"}:
        return StoreError("TlsFailed", 0, "the TLS handshake failed")
    if kind in {"NoCredentialsError", "CredentialRetrievalError", "PartialCredentialsError", "TokenRetrievalError"}:
        return StoreError("InvalidSecurity", 403, f"no usable credentials ({kind})")
    if none_left(error):
        return StoreError("NoFileLeft", 0, "no connection for now: too many open files")
    if getattr(getattr(error, "kwargs", {}).get("error"), "status", 0) == 407:
        return StoreError("ProxyLogin", 407, kind)
    if "Timeout" in kind:
        return StoreError("TimedOut", 0, kind)
    return StoreError("Unreachable", 0, kind)


@cache
def _descriptions(data_path: str | None) -> Any:
    """What botocore knows of AWS's services. It takes long to read, so all clients of the process share it."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


async def open_sdk(
    stack: AsyncExitStack,
    service: Service,
    clock: Clock,
    *,
    connections: int,
    out: WayOut,
    refusal_s: float = QUICK_S,
) -> SdkClient:
    """An aiobotocore client for the length of ``stack``, with its retries and redirects off.

    ``refusal_s``: how long the body of a refusal may take, whatever its request may. Raises Blocked for a profile that
    there is not.
    """
    from aiobotocore.config import AioConfig
    from botocore import UNSIGNED

    await service.keyring.found()
    endpoint = service.endpoint_url
    config = AioConfig(
        signature_version=UNSIGNED if service.anonymous else None,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=connections,
        connect_timeout=10,
        read_timeout=300,
        parameter_validation=False,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto", "us_east_1_regional_endpoint": "regional"},
        ignore_configured_endpoint_urls=True,
        **sdk_config(out, refusal_s=refusal_s),
    )
    session = service.keyring.signing()
    session.register_component("data_loader", _descriptions(session.get_config_variable("data_path")))
    client = await stack.enter_async_context(
        session.create_client("s3", region_name=service.region, endpoint_url=endpoint, config=config, verify=True)
    )
    client.meta.events.register("before-call.s3", lay_headers)
    client.meta.events.register("before-call.s3" if endpoint else "before-call.s3.HeadBucket", stay)
    return SdkClient(client, clock)
