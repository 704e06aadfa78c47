"""The original scripts' tracking DB, adopted. In: their file. Out: rows, journal entries, every doubt."""
