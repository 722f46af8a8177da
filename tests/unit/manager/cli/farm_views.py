"""Farms as tests need them: three nodes, a, b and c, and one address."""

from collections.abc import Mapping
from dataclasses import replace

from manager.model.api import ModuleView, NodeState
from manager.model.api_farm import FarmShare, FarmTable, Moving
from manager.model.reasons import Reason
from manager.model.states import ModuleKind, ModuleState
from tests.unit.manager.cli.views import node

VIP = "10.77.0.110"
SHARES = {"a": 342, "b": 341, "c": 341}


def table(
    shares: Mapping[str, int] = SHARES, *moving: Moving, director: str | None = "a", address: str = VIP
) -> FarmTable:
    return FarmTable(address, director, 41, "a", dict(shares), 1024 - sum(shares.values()), moving)


def share(name: str, *tables: FarmTable, weight: int = 1, switched: bool = False, group: int = 0) -> FarmShare:
    slots: dict[str, int | None] = {t.address: None if t.shares is None else t.shares.get(name, 0) for t in tables}
    return FarmShare(weight, 1, switched, group, slots, tuple(t.address for t in tables if t.director == name))


def up(name: str, state: ModuleState | None = ModuleState.UP, reason: str = Reason.SERVING) -> NodeState:
    return node(name, state, reason=reason, listed=None)


def farm(*nodes: NodeState, tables: tuple[FarmTable, ...] = (table(),), **weights: int) -> ModuleView:
    """The module ``web``; ``weights``: those that an operator has set."""
    shared = []
    for each in nodes or (up("a"), up("b"), up("c")):
        own = each.farm or share(each.node, *tables, weight=weights.get(each.node, 1), switched=each.node in weights)
        shared.append(replace(each, farm=own if each.state is not None else replace(own, slots=None, directs=None)))
    return ModuleView("web", ModuleKind.FARM, 1, tuple(shared), "", 0, None, tables=tables)
