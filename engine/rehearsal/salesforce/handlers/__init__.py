"""What answers a call: each module holds the handlers of one part of the API, above the org and below the routes.

In comes the org and an ``ApiRequest``, out goes an ``ApiResponse`` or an ``ApiError``. ``control.py`` is the side door
for tests, and speaks HTTP itself.
"""
