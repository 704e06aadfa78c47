"""What in the whole org still points at the vendor. In: an org. Out: a list of fields with counts."""
