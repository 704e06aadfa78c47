"""The first day: a settings file, and the whole story against local stand-ins."""
