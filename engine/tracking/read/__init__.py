"""Questions to the tracking DB. Nothing here writes."""
