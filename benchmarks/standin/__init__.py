"""An S3 that does next to nothing, so that what a benchmark shows is its client. ``benchmarks.cheap_s3`` starts it."""
