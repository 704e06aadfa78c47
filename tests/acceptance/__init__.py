"""Whole runs of the real command: slow by nature, honest by design."""
