"""Where the lines of an agent's and of a replicator's log go, and from which level on; the same for both.

Nothing here waits for anybody who reads them: a log that cannot be written costs lines, and never a node.
"""
