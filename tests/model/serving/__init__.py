"""The model of who serves when (S5, S7): the same nodes and store, with time, and without files."""
