"""The operator's desk: what the tracking DB knows as web pages, as a paper, and as metrics. In: the DB, read-only."""
