"""What is written into the tracking DB, each kind of row in one place."""
