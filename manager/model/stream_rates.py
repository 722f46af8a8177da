"""What the connections of a mirror's replicator carry, as its counters say. For people: nothing is decided by it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamRates:
    """In each of the last seconds; bytes are of the frames' bodies, as they travelled."""

    sent_bytes_s: int
    received_bytes_s: int
    operations_s: int | None
    """Of the application's, that were answered to it; ``None``: this node does not serve."""
