"""The page that is read first in a snapshot: whose it is, which nodes are in it, what is not, and why. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from manager.cli.snapshot.lacking import Lacking

FILE = "summary.txt"
_WORDS = """\
Each node's part is below nodes/NAME: its configuration, what its agent says (agent/), modules as they were applied
(modules/) and as they run (run/), the machine, the network, mirrorfarm check, logs. etcd.json has all keys of the
cluster, and etcd's revision.

Values are masked by the names of what they are given to, as password or token, and in URLs; no private key was read.
What an application has written into its log in words of its own is as it was: look before you give the file away.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """What there is of one node."""

    node: str
    unknown: str = ""
    """Why there is nothing; empty: there is something."""
    lacking: tuple[Lacking, ...] = ()


def summary(made: str, since: str, parts: Sequence[Part]) -> str:
    """The page.

    Args:
        made: when, on which node, of which cluster, by which release; for people.
        since: from when on the logs are; empty: as much as there is room for.
        parts: of all nodes.
    """
    lines = [made, f"Logs: {since or 'as much as there is room for, the newest.'}", "", _WORDS, "Nodes"]
    width = max((len(part.node) for part in parts), default=0)
    lines += [f"  {part.node:{width}}  {_how(part)}" for part in parts]
    lines += ["", "What could not be had"]
    lacking = [f"  {part.node}: {one.what}: {one.why}" for part in parts for one in part.lacking]
    return "\n".join([*lines, *(lacking or ["  nothing that was looked for"]), ""])


def _how(part: Part) -> str:
    if part.unknown:
        return f"unknown: {part.unknown}"
    count = len(part.lacking)
    return f"{count} {'thing' if count == 1 else 'things'} could not be had" if count else "all was had"
