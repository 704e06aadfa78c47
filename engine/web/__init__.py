"""Plain http: files behind ordinary, presigned or resolved URLs. GET and HEAD only, and to listed origins only.

``client.py`` opens it, on aiohttp; ``source.py`` fits the Source port; ``resolver.py`` asks a vendor's API for links.
"""
