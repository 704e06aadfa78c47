"""Real servers on loopback that the tests run against, and the tests of those servers."""
