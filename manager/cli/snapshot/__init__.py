"""``mirrorfarm snapshot``: what whoever looks for a fault wants to see, from all nodes, in one file, no secrets."""
