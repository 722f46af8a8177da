"""What the replicator decides, without I/O: operations, the release of completions, the plan of a join."""
