"""Phase 1. In: settings and options. Out: copies in our bucket, a row for each record, and a report."""
