"""Which registered nodes are of another release than this node's agent, and in what they do not go with it. Pure.

It is for people. What an agent does about such a node is ``agent.runtime.lease_keeper``'s, and each interface's own.
"""

from agent.api_view import Keys
from manager.model.api import OtherRelease
from manager.model.records import NodeRecord
from manager.model.versions import strange


def other_releases(keys: Keys, here: str, software: str) -> tuple[OtherRelease, ...]:
    """By name; ``here`` is this node, whose agent is of the release ``software``."""
    names = (key.removeprefix(keys.cluster.nodes_prefix) for key in keys.under(keys.cluster.nodes_prefix))
    found = (_other(name, keys.record(NodeRecord, keys.cluster.node(name)), software) for name in names if name != here)
    return tuple(other for other in found if other is not None)


def _other(node: str, record: NodeRecord | None, software: str) -> OtherRelease | None:
    if record is None:
        return OtherRelease(node, "", ("records",))
    unspoken = strange(record.speaks)
    return OtherRelease(node, record.software, unspoken) if unspoken or record.software != software else None
