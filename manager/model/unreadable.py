"""Keys that decisions rest on and whose values are not understood: an etcdctl put, or a newer release. Pure.

Of the configuration and of what is wanted on a node the last one that was understood counts; on the other two nothing
is decided. What is in the other keys of a module is written anew by whoever wrote it, or is told to people only.
"""

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What the key holds."""

    UNKNOWN = "unknown"
    """One that another release tells of, and this one does not know."""
    CONFIG = "config"
    DESIRED = "desired"
    PRIMARY = "primary"
    INSYNC = "insync"


@dataclass(frozen=True, slots=True)
class UnreadableKey:
    """A key and what is wrong with its value."""

    key: str
    kind: Kind
    problem: str
    node: str = ""
    """Of ``desired``: the node that it is for."""
