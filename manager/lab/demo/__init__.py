"""The demonstration: web servers on a farm, a database on a mirror, the loss of a server's power (``make demo``)."""
