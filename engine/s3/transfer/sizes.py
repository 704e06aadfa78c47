"""What a plain HEAD does not tell: the size where a store keeps quiet of it, and the parts of an object."""

from __future__ import annotations

from engine.limiting.side_by_side import side_by_side
from engine.model.facts import whole_size
from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.client import S3Client

PARTS_AT_ONCE = 8
_NO_SUCH_QUESTION = frozenset({400, 405, 416, 501})


async def size_by_range(
    client: S3Client, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
) -> int | None:
    """The size in bytes that a GET of the first byte tells; None where even that keeps quiet. Raises StoreError."""
    try:
        async with client.get(bucket, key, {**headers, "range": "bytes=0-0"}, version_id=version_id) as answer:
            if (told := answer.fields.get("content-range")) is not None:
                return whole_size(told)
            length = answer.fields.get("content-length", "")
            return int(length) if length.isdecimal() else None
    except StoreError as error:
        if error.status == 416:
            return 0  # an empty object has no first byte
        raise


async def part_sizes(
    client: S3Client,
    bucket: str,
    key: str,
    headers: Fields,
    *,
    count: int,
    size: int | None,
    version_id: str | None = None,
) -> tuple[int, ...]:
    """Sizes in bytes of the ``count`` parts that an object of ``size`` bytes was made of, by a HEAD each; none where
    the store does not tell. Raises StoreError."""
    if size is None or count < 1:
        return ()
    if count == 1:
        return (size,)
    sizes = [0] * count

    async def ask(number: int) -> None:
        answer = await client.head(bucket, key, headers, version_id=version_id, part=number)
        length = answer.fields.get("content-length", "")
        if answer.fields.get("x-amz-mp-parts-count") != str(count) or not length.isdecimal():
            raise StoreError("NoParts", 501, "the store does not tell an object's parts")
        sizes[number - 1] = int(length)

    try:
        await ask(1)
        await side_by_side(range(2, count + 1), ask, at_once=PARTS_AT_ONCE)
    except StoreError as error:
        if error.status in _NO_SUCH_QUESTION:
            return ()
        raise
    return tuple(sizes) if sum(sizes) == size and all(sizes) else ()
