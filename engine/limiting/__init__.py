"""Time, chance and patience: the clock port, backoff, the one retry loop, limiters and budgets."""
