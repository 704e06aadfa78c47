"""Stores, servers and proxies that behave in every cruel way."""
