"""The Salesforce floor: log in, read pages of records, ask for shapes and limits. ``connection.py`` opens it.

Speaks aiohttp. Foreign errors end in ``faults.py``; nothing of aiohttp leaves this package.
"""
