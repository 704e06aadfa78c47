"""Any valid HTTP answer, made by Hypothesis."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).map(lambda n: f"x-{n}".encode())


values = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=30).map(
    lambda v: v.encode("latin-1")
)


bodies = st.binary(max_size=300)


@st.composite
def valid_answers(draw: st.DrawFn) -> tuple[bytes, int, bytes, bool]:
    """An answer's bytes, its status, its body, and whether only the end of stream ends it."""
    status = draw(st.sampled_from([200, 206, 301, 404, 412, 503]))
    headers = b"".join(b"%s: %s\r\n" % pair for pair in draw(st.lists(st.tuples(names, values), max_size=6)))
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    start = interim + b"HTTP/1.1 %d Some Reason\r\n" % status + headers
    body = draw(bodies)
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        return start + b"Content-Length: %d\r\n\r\n" % len(body) + body, status, body, False
    if framing == "close":
        return start + b"\r\n" + body, status, body, True
    cuts = sorted(draw(st.sets(st.integers(0, len(body)), max_size=5)) | {0, len(body)})
    chunks = b"".join(b"%x\r\n" % (end - begin) + body[begin:end] + b"\r\n" for begin, end in itertools.pairwise(cuts))
    trailers = draw(st.sampled_from([b"", b"x-checksum: abc\r\n"]))
    block = start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"
    return block, status, body, False
