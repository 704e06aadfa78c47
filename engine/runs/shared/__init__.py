"""What several use cases share: one life of a run, its services, its stop, confirmation, what is shown and reported."""
