"""Our own HTTP/1.1 client, for the hot path. It knows HTTP only: nothing of S3, nothing of signatures."""
