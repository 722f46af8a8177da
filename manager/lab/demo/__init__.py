"""The demonstration: a database on a mirror survives the loss of its server's power (``make demo``)."""
