"""What each node of a farm has of its traffic, from what the nodes have told of themselves. Pure.

A node's connections are known from itself. What packets it is given is known from those that hand them on: that is who
directs, but for clients which still send to a former director.
"""

from collections.abc import Iterable, Mapping

from manager.model.api_farm import Traffic
from manager.model.farm_figures import Flow, NodeFigures

FRESH_MS = 30_000
"""What is older says nothing of now."""
Figures = Mapping[str, NodeFigures]
"""By node."""

UNKNOWN = Traffic(None, None, None, None, None, None)
_NOTHING = Flow(0, 0, 0, 0)


def traffic_at(address: str, director: str, nodes: Iterable[str], figures: Figures) -> dict[str, Traffic]:
    """Of ``address``, by node, those left out of which nothing is known.

    ``director``: who receives for it, empty: nobody is known to.
    """
    fresh = {node: known for node, known in figures.items() if known.age_ms <= FRESH_MS}
    found = {node: _traffic(address, director, node, fresh) for node in nodes}
    return {node: traffic for node, traffic in found.items() if traffic != UNKNOWN}


def total(parts: Iterable[Traffic]) -> Traffic:
    """Of several addresses; what is not known of one is not known of all."""
    every = tuple(parts)
    return Traffic(
        _sum(t.connections for t in every), _sum(t.packets for t in every), _sum(t.bytes for t in every),
        _sum(t.packets_s for t in every), _sum(t.bytes_s for t in every),
        max((t.age_ms for t in every if t.age_ms is not None), default=None),
    )  # fmt: skip


def _traffic(address: str, director: str, node: str, fresh: Figures) -> Traffic:
    own, directing = fresh.get(node), fresh.get(director)
    connections = None if own is None or own.connections is None else own.connections.get(address, 0)
    flows: list[Flow] = []
    if directing is not None and directing.flows is not None:
        flows = [(f.flows or {}).get(address, {}).get(node, _NOTHING) for f in fresh.values()]
    used = [f.age_ms for f in (own if connections is not None else None, directing if flows else None) if f is not None]
    return Traffic(
        connections, _sum(f.packets for f in flows), _sum(f.bytes for f in flows), _sum(f.packets_s for f in flows),
        _sum(f.bytes_s for f in flows), max(used, default=None),
    )  # fmt: skip


def _sum(parts: Iterable[int | None]) -> int | None:
    """``None``: one of them, or there is none."""
    known = list(parts)
    found = [part for part in known if part is not None]
    return sum(found) if known and len(found) == len(known) else None
