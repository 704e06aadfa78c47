"""The S3 API: the client port, its two implementations, signing, answers and errors."""
