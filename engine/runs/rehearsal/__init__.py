"""The first day: a settings file, the stand-ins, and a whole migration against them. In: nothing. Out: an exit code."""
