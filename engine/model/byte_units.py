"""Units of size. A MiB is 2²⁰ bytes, a MB is 10⁶ bytes; settings and messages say which of the two they mean."""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
MB = 1_000_000
