"""One suite per port; the fake and the real adapter both pass it."""
