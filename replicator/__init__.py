"""The replicator: the file system in front of the application's files, and the stream to the peer."""
