"""What every adapter needs: the clock port, the one retry loop, limiters, budgets, TLS, private files."""
