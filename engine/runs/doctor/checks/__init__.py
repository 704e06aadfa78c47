"""One file per subject; each check is a small function that returns Findings and raises only what stops them all."""
