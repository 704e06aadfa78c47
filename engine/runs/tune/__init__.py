"""Which concurrency and queue sizes are enough. In: stand-ins or real endpoints. Out: measured advice."""
