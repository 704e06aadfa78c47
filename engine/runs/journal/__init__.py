"""The journal as evidence. In: the tracking DB and its copies outside. Out: whether it is whole, and what it says."""
