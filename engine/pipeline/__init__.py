"""The way of a record. Knows ports, not vendors; ``flow.py`` is the file to read first."""
