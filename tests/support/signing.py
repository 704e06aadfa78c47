"""What requests that are signed are made of."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

AT = datetime(2026, 11, 22, 10, 29, 58, tzinfo=UTC)


keys_in_s3 = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


names = st.from_regex(r"x-amz-[a-z0-9-]{1,20}|content-type|range|if-match|if-none-match|cache-control", fullmatch=True)
