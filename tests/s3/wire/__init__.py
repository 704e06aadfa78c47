"""Tests of the signed S3 client on the wire."""
