"""The Salesforce floor: log in, read pages of records, ask for shapes and limits. ``connection.py`` opens it.

Speaks aiohttp. Foreign errors end in ``faults.py``; nothing of aiohttp leaves this package.
"""

from engine.pacing.tls import trusting_nobody

with trusting_nobody():  # its two default contexts: each of our connectors brings its own
    import aiohttp as aiohttp
