"""Copies and stores objects, proves what was written, and never overwrites."""
