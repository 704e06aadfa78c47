"""The cases, in the order of the table of goals. Each takes a Bench and adds rows and goals to its report."""
