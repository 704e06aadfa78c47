"""Time, chance and patience: the clock port, backoff, the one retry loop, gates and budgets."""
