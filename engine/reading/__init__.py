"""How settings are read: the keys there are, the places they are written in, and everything that is wrong with them."""
