"""Ordinary classes that implement our own ports."""
