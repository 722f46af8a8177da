"""What the operator is shown around the modules, built from the keys as etcd had them. Pure.

Without etcd it is not known which agents are there; take-overs are what they were.
"""

import functools
from collections.abc import Callable, Sequence
from operator import attrgetter

from agent.api_view import Keys
from manager.model.api_around import Around, NodePresence, TakeOver
from manager.model.codec import DecodeError, decode
from manager.model.keys import ClusterKeys
from manager.model.records import HistoryRecord, NodeRecord


def around(
    keys: Keys, modules: Sequence[str], most: int, *, fresh: bool, absent_ms: Callable[[str], int | None]
) -> Around:
    """What stands around ``modules``.

    Args:
        keys: the cluster.
        modules: whose take-overs are told.
        most: so many of them.
        fresh: whether etcd is heard now.
        absent_ms: how long a node has not been registered, as far as was seen; ``None``: it is.
    """
    nodes = tuple(_presence(keys, node, fresh, absent_ms) for node in sorted(keys.known_nodes()))
    found = [TakeOver(m, entry) for m in modules for entry in _newest(keys, m, most)]
    found.sort(key=attrgetter("entry.at", "entry.epoch"), reverse=True)
    return Around(nodes, tuple(found[:most]))


def _presence(keys: Keys, node: str, fresh: bool, absent_ms: Callable[[str], int | None]) -> NodePresence:
    registered = keys.cluster.node(node) in keys.values
    record = keys.record(NodeRecord, keys.cluster.node(node))
    software = record.software if record is not None else ""
    return NodePresence(node, registered if fresh else None, software, absent_ms(node) if fresh else None)


def _newest(keys: Keys, module: str, most: int) -> list[HistoryRecord]:
    """The last take-overs of ``module``."""
    cluster: ClusterKeys = keys.cluster
    prefix = f"{cluster.module(module).prefix}history/"
    newest = sorted((k for k in keys.values if k.startswith(prefix)), reverse=True)[:most]
    found = (_entry(keys.values[key]) for key in newest)
    return [entry for entry in found if entry is not None]


@functools.lru_cache(maxsize=4_096)
def _entry(text: str) -> HistoryRecord | None:
    """What ``text`` says; it is asked each second and never changes. ``None``: this release does not understand it."""
    try:
        return decode(HistoryRecord, text)
    except DecodeError:
        return None
