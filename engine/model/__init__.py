"""Nouns: frozen values that travel between the floors. No I/O, no await, nothing but the standard library."""
