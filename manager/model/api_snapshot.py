"""The calls behind ``mirrorfarm snapshot``: what a node has for whoever looks for a fault, and its replicators say."""

from dataclasses import dataclass

from manager.model.reports import Status

NODE_S = 60.0
"""How long a node collects at the most."""
CALL_S = 75.0
"""How long its agent waits for that, with what comes after the last of it."""
MOST_BYTES = 96 << 20
"""Of what comes, as it travels: compressed."""
PIECE_BYTES = 48 << 10


@dataclass(frozen=True, slots=True)
class SnapshotArguments:
    """Call ``snapshot``: this node's configuration, records, logs, state and checks; they come as progress."""

    since_ms: int = 0
    """Of the logs only what is not older; 0: as much as there is room for."""
    etcd: bool = False
    """All keys of the cluster, too."""


@dataclass(frozen=True, slots=True)
class SnapshotPiece:
    """Progress of ``snapshot``: the pieces, one after the other, are a tar file, compressed by gzip."""

    data: str
    """Base64."""


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """Answer of ``snapshot``, when all was sent that there is."""

    bytes_sent: int
    """Before base64."""
    error: str = ""
    """Why what was sent is not whole; empty: it is."""


@dataclass(frozen=True, slots=True)
class ReplicatorArguments:
    """Call ``replicator``: what a module's replicator on this node has said last of itself."""

    module: str


@dataclass(frozen=True, slots=True)
class ReplicatorReport:
    """Answer of ``replicator``."""

    module: str
    age_ms: int
    """How long ago that was said; it is asked each second."""
    status: Status
