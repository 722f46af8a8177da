"""What stands around the modules, in an answer of ``state``: the nodes' agents, and the last take-overs.

For who looks at the whole cluster on and on: all of it comes with one question.
"""

from dataclasses import dataclass

from manager.model.records import HistoryRecord


@dataclass(frozen=True, slots=True)
class NodePresence:
    """A node of which the agent is registered in etcd, or ever was."""

    node: str
    registered: bool | None
    """``None``: not known, as without etcd."""
    software: str
    """Of its agent, as etcd was last heard; empty: it is not registered."""
    away_ms: int | None
    """For how long, at the least, it has not been registered; ``None``: it is, or that is not known."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A primary took over."""

    module: str
    entry: HistoryRecord


@dataclass(frozen=True, slots=True)
class Around:
    """Beside the modules that are shown."""

    nodes: tuple[NodePresence, ...]
    """By name."""
    takeovers: tuple[TakeOver, ...]
    """Of these modules, the newest first by the clocks of the nodes that took over."""
