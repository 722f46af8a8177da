"""The decisions for farm modules: all nodes serve, behind one address. Pure."""
