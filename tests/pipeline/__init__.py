"""Tests of the copying pipeline."""
