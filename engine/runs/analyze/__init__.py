"""What a backup would meet. In: records and listings. Out: numbers and advice; nothing is copied."""
