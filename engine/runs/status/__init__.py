"""What the tracking DB knows, shown; and what a person notes in it by hand. In: the DB. Out: tables and JSON."""
