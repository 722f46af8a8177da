"""Why the streams of a mirror do not come about, as the replicator of one node sees it. For people: it decides nothing.

Kinds are one word each. They are no enum: a newer release may say others, and what is told must be read all the same.
"""

from dataclasses import dataclass
from typing import Final

HERE: Final = "here"
"""The node that tells it refuses the other end."""
THERE: Final = "there"
"""The other end refuses this node."""
NOBODY: Final = ""
"""Neither has said so."""

CLOSED, TLS, PLAIN_ONLY, IDENTITY = "closed", "tls", "plain_only", "identity"
"""Closed without a word; plain where TLS is taken only; TLS where plain is taken only; not who it should be."""
SILENT, UNREACHABLE, UNUSABLE = "silent", "unreachable", "tls_unusable"
"""Connected and says nothing; not connected at all; the files of the node that tells it are not good."""
TOLD: Final = "tls_told_"
"""Before the word of what the other end says of this node's certificate."""


@dataclass(frozen=True, slots=True)
class RefusedStream:
    """That connections with one other end come to nothing, one after the other, until now."""

    node: str
    """Whose replicator it is, or is thought to be by its address; empty: not known."""
    address: str
    """Where it is, or from where it connects."""
    kind: str
    """What is in the way."""
    reason: str
    """The same for people, as the log has it."""
    by: str
    """HERE, THERE or NOBODY."""
    since: str
    """When the first one came to nothing of those without a good one since: wall time."""
    count: int
    """How many there were."""
