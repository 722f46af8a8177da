"""One agent: what the pure core decides is carried out here, and what comes of it is told to the core."""
