"""How long a round trip to another node's agent takes: the time of the kernel's own handshake of a TCP connection.

Of a call it would be mostly the agents' own work; no agent has a part in this. Nothing is said on the connection.
"""

import socket
import statistics
import time
from dataclasses import dataclass

SAMPLES = 7
TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """To one address."""

    median_us: int
    """Of :data:`SAMPLES` connections."""


def round_trip(address: str, port: int) -> RoundTrip:
    """How long it takes.

    Raises:
        OSError: it cannot be connected to.
    """
    times_ns = []
    for _ in range(SAMPLES):
        begun_ns = time.monotonic_ns()
        with socket.create_connection((address, port), TIMEOUT_S):
            times_ns.append(time.monotonic_ns() - begun_ns)
    return RoundTrip(int(statistics.median(times_ns)) // 1000)
