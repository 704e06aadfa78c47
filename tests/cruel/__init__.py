"""The real command in a world that is crueller than our stand-ins."""
