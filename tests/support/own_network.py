"""A network of its own for a pair of replicators: a namespace with nothing but a loopback, whose packets can be lost.

As where a cable is pulled: nobody is told, what was sent is sent again, and what both sides still have of a connection
goes on once packets pass again. Processes are entered into it; their files and mounts stay those of everybody.
"""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence

_LOSE = "table inet cut { chain input { type filter hook input priority 0; policy drop; }; }"
_numbers = itertools.count(1)


class OwnNetwork:
    """By its name; made by :func:`own_network`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def entering(self, command: Sequence[str]) -> tuple[str, ...]:
        """``command`` in it, as the same process."""
        return ("nsenter", f"--net=/run/netns/{self.name}", *command)

    def cut(self) -> None:
        """Nothing passes."""
        self._nft(_LOSE)

    def heal(self) -> None:
        """Everything passes."""
        self._nft("delete table inet cut")

    def _nft(self, words: str) -> None:
        subprocess.run(self.entering(("nft", "--file", "-")), input=words, text=True, check=True)


@contextlib.contextmanager
def own_network() -> Iterator[OwnNetwork]:
    """For as long as the context lasts; what runs in it has ended by then."""
    network = OwnNetwork(f"mirrorfarm-pair-{os.getpid()}-{next(_numbers)}")
    subprocess.run(["ip", "netns", "add", network.name], check=True)
    try:
        subprocess.run(["ip", "-n", network.name, "link", "set", "lo", "up"], check=True)
        yield network
    finally:
        subprocess.run(["ip", "netns", "delete", network.name], check=True)
