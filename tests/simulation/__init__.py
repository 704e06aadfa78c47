"""The real engine in a false world: one thread, virtual time, every choice from a seed.

``python -m tests.simulation``.
"""
