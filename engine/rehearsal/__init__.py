"""Local stand-ins of the services the engine talks to, so that everything can be rehearsed on one machine."""
