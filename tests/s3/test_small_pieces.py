"""Parts, blocks, templates, addresses, routes, sums and small XML."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from engine.limiting.byte_budget import BytesInFlight
from engine.model.byte_units import GIB, MIB
from engine.model.errors import Blocked, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.sums import multipart_etag
from engine.s3.api.address import address_of
from engine.s3.api.answers import Answer, StoreError, proven
from engine.s3.api.faults import Side, meaning
from engine.s3.api.xml import as_fields, error_of, flat, success_of
from engine.s3.transfer.blocks import Blocks
from engine.s3.transfer.hashing import Sums, composite_sha256, crc64nvme
from engine.s3.transfer.memory import Buffers, Memory
from engine.s3.transfer.our_keys import shape_of
from engine.s3.transfer.parts import MAX_PART, MAX_PARTS, Sizes, growing, part_size, ranges
from engine.s3.transfer.probe import Readable, choose, readable
from tests.support.s3 import at


@given(st.integers(1, 50_000 * GIB), st.integers(5 * MIB, 5 * GIB))
def test_any_size_fits_into_ten_thousand_parts(total: int, wished: int) -> None:
    size = part_size(total, wished)
    assert size >= wished
    assert -(-total // size) <= MAX_PARTS
    if total <= wished * MAX_PARTS:
        assert size == wished


@given(st.integers(1, 5_000), st.integers(1, 700))
def test_ranges_cover_every_byte_once(total: int, size: int) -> None:
    assert [n for first, last in ranges(total, size) for n in range(first, last + 1)] == list(range(total))


def test_parts_of_an_unknown_length_grow_to_hold_terabytes() -> None:
    sizes = list(growing(16 * MIB))
    assert len(sizes) == MAX_PARTS
    assert sizes == sorted(sizes)
    assert max(sizes) <= MAX_PART
    assert sum(sizes) > 10 * 1024 * GIB


@given(st.lists(st.binary(max_size=9), max_size=12), st.integers(1, 13))
async def test_blocks_are_the_stream_cut_evenly(chunks: list[bytes], size: int) -> None:
    spent: list[int] = []

    async def source() -> AsyncIterator[bytes | memoryview]:
        for chunk in chunks:
            buffer = bytearray(chunk)
            yield memoryview(buffer)
            buffer[:] = bytes(len(buffer))  # a chunk is valid only until the next one

    async def spend(nbytes: int) -> None:
        spent.append(nbytes)

    blocks = Blocks(source(), spend)
    taken = []
    while not await blocks.at_end():
        taken.append(bytes(await blocks.fill(memoryview(bytearray(size)))))
    await blocks.close()
    assert b"".join(taken) == b"".join(chunks)
    assert all(len(block) == size for block in taken[:-1])
    assert sum(spent) == len(b"".join(chunks))


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("uploads/001000000000001AAA/a0B000000000001AAA/x y.pdf", True),
        ("uploads/001000000000001/a0B000000000001/deep/x.pdf", True),
        ("uploads//a0B000000000001/x.pdf", True),
        ("uploads/001000000000001AAA/short/x.pdf", False),
        ("elsewhere/001000000000001AAA/a0B000000000001AAA/x", False),
    ],
)
def test_keys_of_ours_have_the_templates_shape(key: str, ours: bool) -> None:
    prefix, is_ours = shape_of("uploads/{account_id}/{record_id}/{file_name}", "bucket")
    assert prefix == "uploads/"
    assert is_ours(key) is ours


def test_a_template_that_begins_with_a_field_has_no_prefix() -> None:
    prefix, is_ours = shape_of("{bucket}/{record_id}.{ext}", "ours")
    assert prefix == ""
    assert is_ours("ours/a0B000000000001.pdf")
    assert not is_ours("other/a0B000000000001.pdf")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1"])
def test_aws_hosts_are_those_of_botocores_rules(region: str) -> None:
    client = get_session().create_client("s3", region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
    expected = client.meta.endpoint_url.removeprefix("https://").replace(
        "s3.amazonaws.com", "s3.us-east-1.amazonaws.com"
    )
    client.close()
    assert address_of("my-bucket", region, None).host == f"my-bucket.{expected}"
    dotted = address_of("my.bucket", region, None)
    assert (dotted.host, dotted.path) == (expected, "/my.bucket")


@pytest.mark.parametrize(
    ("endpoint", "host", "path", "port"),
    [
        ("https://store.example", "store.example", "/b-b", 443),
        ("https://store.example:443/", "store.example", "/b-b", 443),
        ("http://127.0.0.1:9000", "127.0.0.1:9000", "/b-b", 9000),
        ("https://[::1]:8443/base", "[::1]:8443", "/base/b-b", 8443),
    ],
)
def test_endpoints_are_addressed_by_path(endpoint: str, host: str, path: str, port: int) -> None:
    address = address_of("b-b", "r", endpoint)
    assert (address.host, address.path, address.origin.port) == (host, path, port)


Y, N, U = Readable.YES, Readable.NO, Readable.UNSURE


@pytest.mark.parametrize(
    ("copy", "read", "access", "method"),
    [
        (Y, None, "auto", Method.SERVER_COPY),
        (N, Y, "auto", Method.STREAM),
        (None, Y, "auto", Method.STREAM),
        (N, N, "auto", Method.HTTP),
        (None, None, "auto", Method.HTTP),
        (U, N, "auto", Method.SERVER_COPY),
        (U, Y, "auto", Method.STREAM),
        (N, U, "auto", Method.STREAM),
        (N, N, "s3", Method.STREAM),
        (Y, Y, "http", Method.HTTP),
    ],
)
def test_the_route_follows_from_who_may_read(
    copy: Readable | None, read: Readable | None, access: str, method: Method
) -> None:
    route = choose(copy, read, access)
    assert route.method is method
    assert route.why


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([404, 200], Y),
        ([403, 404, 200], Y),
        ([403, 404], N),
        ([404, 404], U),
        ([404] * 5 + [200], U),
        ([400] * 6 + [200], Y),
        ([400] * 8, N),
        ([400] * 7 + [404], U),
        ([400, 403, 404], N),
        ([500, 503, 200], Y),
        ([500, 503], U),
        ([500, 403], N),
    ],
)
async def test_missing_and_unfit_samples_decide_nothing(statuses: list[int], expected: Readable) -> None:
    answers = iter(statuses)

    async def look(_: object) -> object:
        if (status := next(answers)) != 200:
            raise meaning(StoreError(str(status), status), Side.SOURCE)
        return None

    assert await readable([at("b", str(n)) for n in range(len(statuses))], look) is expected


async def test_an_object_whose_version_cannot_be_is_asked_for_as_it_is() -> None:
    samples = [at("b", str(n), "bogus") for n in range(8)]

    async def look(sample: Location) -> None:
        if sample.version_id:
            raise meaning(StoreError("400", 400), Side.SOURCE)

    assert await readable(samples, look) is Y


@pytest.mark.parametrize(
    "error", [Blocked("the keys are bad"), Transient(FailureClass.NETWORK, "the token is dead", patient=True)]
)
async def test_what_no_sample_is_to_blame_for_decides_nothing_either(error: Exception) -> None:
    async def look(_: object) -> object:
        raise error

    with pytest.raises(type(error)):
        await readable([at("b", "k")], look)


async def test_sums_are_those_of_the_whole_whatever_the_pieces() -> None:
    body = b"abc" * 200_000
    sums = Sums(["md5", "crc64nvme", "sha256"])
    for start in range(0, len(body), 290_000):
        await sums.add(body[start : start + 290_000])
    assert dict(sums.computed()) == {
        "sha256": hashlib.sha256(body).hexdigest(),
        "md5": hashlib.md5(body).hexdigest(),
        "crc64nvme": f"{crc64nvme(body):016x}",
    }
    assert sums.size == len(body)


def test_crc64nvme_is_the_catalogued_one() -> None:
    assert f"{crc64nvme(b'123456789'):016x}" == "ae8b14860a799888"


def test_composites_are_built_as_s3_builds_them() -> None:
    parts = [b"a", b"b"]
    md5s = [hashlib.md5(part).digest() for part in parts]
    assert multipart_etag(md5s) == hashlib.md5(b"".join(md5s)).hexdigest() + "-2"
    digests = [hashlib.sha256(part).digest() for part in parts]
    assert composite_sha256(digests) == hashlib.sha256(b"".join(digests)).hexdigest() + "-2"


def test_small_xml_is_read_without_its_namespace() -> None:
    body = b'\n  <?xml version="1.0"?><A xmlns="urn:x"><ETag>&quot;e&quot;</ETag><Deep><X>1</X></Deep></A>'
    root, told = flat(body)
    assert (root, told["ETag"]) == ("A", '"e"')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n ",
        b"<A><B></A>",
        b"<A>",
        b'<!DOCTYPE A [<!ENTITY x "y">]><A>&x;</A>',
        b"<A>" + b"x" * (1 << 20) + b"</A>",
    ],
)
def test_what_is_no_small_plain_xml_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(StoreError, match="BadAnswer"):
        flat(body)


def test_a_success_holds_the_document_it_should() -> None:
    body = b'<CopyObjectResult><ETag>"e"</ETag><ChecksumSHA256>QQ==</ChecksumSHA256></CopyObjectResult>'
    fields = success_of(200, {"date": "x"}, body, root="CopyObjectResult")
    assert fields == {"date": "x", "etag": '"e"', "x-amz-checksum-sha256": "QQ=="}
    with pytest.raises(StoreError, match="SlowDown"):
        success_of(200, {}, b"<Error><Code>SlowDown</Code></Error>", root="CopyObjectResult")
    with pytest.raises(StoreError, match="BadAnswer"):
        success_of(200, {}, b"<html></html>", root="CopyObjectResult")


@given(
    st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>\n', "\n\n ", "<!DOCTYPE A>", "junk"]),
    st.sampled_from(["A", "Error", "AB"]),
    st.sampled_from(["", ' xmlns="urn:x"', ' a="<"']),
    st.lists(
        st.tuples(st.sampled_from(["ETag", "X"]), st.sampled_from(["1", "&quot;e&quot;", "a&amp;b", "<Y>1</Y>", ""]))
    ),
    st.sampled_from(["", " \n", "tail", "<!-- c -->", "</A><A>"]),
)
def test_the_short_way_through_xml_agrees_with_the_long_one(
    prologue: str, root: str, attributes: str, leaves: list[tuple[str, str]], end: str
) -> None:
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in leaves)
    body = f"{prologue}<{root}{attributes}>{inner}{end}</{root}>".encode()
    try:
        name, told = flat(body)
        expected = as_fields(told) if name == "A" else None
    except StoreError:
        expected = None
    try:
        found = success_of(200, {}, body, root="A")
    except StoreError:
        found = None
    assert found == expected


def test_an_error_tells_code_message_and_region() -> None:
    body = b"<Error><Code>PermanentRedirect</Code><Message>m</Message><Region>eu-west-1</Region></Error>"
    error = error_of(301, {"retry-after": "3"}, body)
    assert (error.code, error.status, error.message, error.region) == ("PermanentRedirect", 301, "m", "eu-west-1")
    assert error.retry_after_s == 3.0
    assert error_of(502, {}, b"<html>Bad gateway</html>").code == "502"
    assert error_of(404, {}, b"").missing
    body = b"<Error><Code>%b</Code><Message>%b</Message></Error>" % (b"&amp;" * 15_000, b"m" * 15_000)
    long = error_of(400, {}, body)
    assert (len(long.code), len(long.message)) == (100, 2_000)


def test_a_success_without_an_etag_is_none() -> None:
    with pytest.raises(StoreError, match="NoETag"):
        proven(Answer(200, {}))


def test_memory_is_used_again_and_no_more_is_kept_than_allowed() -> None:
    buffers = Buffers(3 * MIB)
    first, second, third = buffers.take(1_300_000), buffers.take(1_290_000), buffers.take(1_280_000)
    assert [len(each) for each in (first, second, third)] == [1_300_000, 1_290_000, 1_280_000]
    for each in (first, second, third):
        buffers.give(each)

    again = [buffers.take(1_250_000).obj for _ in range(3)]
    assert again[:2] == [second.obj, first.obj]  # two were kept, a third would have been too much
    assert again[2] is not third.obj


def test_memory_that_has_been_idle_longest_makes_room() -> None:
    buffers = Buffers(2 * MIB)
    small, large = buffers.take(MIB), buffers.take(2 * MIB)
    buffers.give(small)
    buffers.give(large)

    assert buffers.take(2 * MIB).obj is large.obj
    assert buffers.take(MIB).obj is not small.obj


@given(st.integers(0, 5 << 30))
def test_an_eighth_more_memory_is_taken_at_most(nbytes: int) -> None:
    assert nbytes <= Buffers(0).size(nbytes) <= nbytes * 9 / 8


def test_much_memory_costs_nothing_until_it_is_written_to() -> None:
    """Clearing 64 MiB would stop the loop for as long as it takes."""
    buffers = Buffers(64 * MIB)
    before = _resident()
    memory = buffers.take(64 * MIB)
    assert _resident() - before < 8 * MIB
    memory[:3], memory[-3:] = b"abc", b"xyz"
    assert bytes(memory[-3:]) == b"xyz"
    buffers.give(memory)
    assert buffers.take(64 * MIB).obj is memory.obj


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(1, 120), min_size=1, max_size=6))
async def test_a_stream_is_cut_alike_into_fresh_memory_and_into_used(chunks: list[bytes], sizes: list[int]) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    budget = BytesInFlight(1200)
    memory = Memory(budget, Sizes.of(60))
    blocks, found = Blocks(stream(), None), []
    for size in sizes:
        claim = await memory.more(size)
        assert budget.held == memory.buffers.size(size)
        block = await claim.fill(blocks)
        found.append(bytes(block))
        claim.release()
        claim.release()
    whole, at = b"".join(chunks), 0
    for size, block in zip(sizes, found, strict=True):
        assert block == whole[at : at + size]
        at += size
    assert budget.held == 0
