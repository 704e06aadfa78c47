"""Tests of clocks, retries and limits."""
