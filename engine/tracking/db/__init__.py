"""The file under the tracking DB: opening, schema, the one writer, locks, the HMAC chain."""
