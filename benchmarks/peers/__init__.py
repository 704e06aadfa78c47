"""The others, doing the same work: programs as they are, and the loops that one would write by hand."""
