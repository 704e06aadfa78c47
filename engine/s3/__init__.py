"""S3 on both sides: the vendor's bucket, read only, and ours. Start at ``open.py``."""
