"""What a farm's nodes tell each other of their traffic: for people, nothing is decided by it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flow:
    """What a node has handed on of that which came for one address, to one node's stack, its own or another one's."""

    packets: int
    """Since its rules were loaded first; several of one connection may have been joined into one by then."""
    bytes: int
    packets_s: int | None
    """In a second, lately; ``None``: not known yet."""
    bytes_s: int | None


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What one node has counted."""

    connections: dict[str, int] | None
    """Address to its own TCP connections there, at ports that are shared; ``None``: not known."""
    flows: dict[str, dict[str, Flow]] | None
    """By address and node; those of nothing are left out. ``None``: not known."""
    age_ms: int
    """How long ago the oldest of this was counted."""
