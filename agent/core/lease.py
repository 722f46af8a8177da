"""Until when a node may serve: lease arithmetic (S5). Pure.

A lease counts from before its request was *sent*: the store may have renewed it at any moment since, and its time may
have begun then. The margin is taken off for clocks that differ in speed.
"""


def deadline_ns(sent_ns: int, ttl_s: int, margin_ns: int) -> int:
    """The instant until which this node may serve.

    Args:
        sent_ns: CLOCK_BOOTTIME from before the renewal was sent.
        ttl_s: the seconds that the store's answer gave.
        margin_ns: taken off.
    """
    return sent_ns + max(0, ttl_s * 1_000_000_000 - margin_ns)


def later(deadline_ns: int, renewed_ns: int) -> int:
    """The deadline after a renewal: it never goes back, whatever the order in which answers come."""
    return max(deadline_ns, renewed_ns)
