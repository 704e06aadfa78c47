"""Are the copies there, and do they hold what was copied? In: rows. Out: problems, recorded and reported."""
