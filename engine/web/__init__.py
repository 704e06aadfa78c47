"""The plain http floor: files behind ordinary, presigned or resolved URLs. GET and HEAD only, to listed origins only.

Speaks aiohttp. ``client.py`` opens it; ``source.py`` is the Source port; ``resolver.py`` asks a vendor for links.
"""
