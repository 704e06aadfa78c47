"""Tests of the tracking DB."""
