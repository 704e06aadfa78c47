"""Use cases, one per file. ``assembly.py`` alone opens adapters."""
