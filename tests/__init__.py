"""Tests of the whole project, one folder per floor."""
