"""The calls that ask whether the copies of a module are equal; ``manager.model.reports`` has the answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifyArguments:
    """Call ``verify``: compare both copies; to be asked of the node that is PRIM."""

    module: str
    limit: int = 100
    """How many differences to name at the most."""
    repair: bool = False
    """Where they differ, make the other node's equal to this one's, and compare again."""
    bytes_s: int | None = None
    """Content to read in a second at the most; 0: no limit. ``None``: the module's ``verify.bandwidth``."""


@dataclass(frozen=True, slots=True)
class DiffArguments:
    """Call ``diff``: how much a coming resync would look at; to be asked of the node that serves."""

    module: str
