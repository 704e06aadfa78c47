"""Time and limits: the clock port, backoff, the one retry loop, limiters and budgets."""
