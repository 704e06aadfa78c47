"""What the engine costs, next to its peers, against stand-ins that cost next to nothing: ``python -m benchmarks``."""
