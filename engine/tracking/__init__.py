"""The tracking DB: the SQLite file that knows everything. The only floor that speaks SQL."""
