"""What questions ask of a record's row, where several ask for the same."""

PROVED_COPY = "your_s3_key, file_size_bytes, coalesce(destination_etag, ''), coalesce(checksum, ''), proof"
"""The fields of ``ProvedCopy``."""
OF_ITS_SOURCE = "coalesce(source_etag, ''), coalesce(file_hash, '')"
"""ETag and SHA-256 of what the copy was made from; empty where they are not known."""
