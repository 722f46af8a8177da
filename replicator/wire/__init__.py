"""Bytes in, objects out: the frames between two replicators, without a socket (docs/PROTOCOL.md)."""
