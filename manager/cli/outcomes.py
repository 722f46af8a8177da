"""Whether what an operator asked for has come about, read from a module's state. Pure: no clock, no calls."""

from collections.abc import Iterable
from dataclasses import dataclass

from manager.cli.farm_words import takers, weights_of
from manager.model.api import ModuleView, NodeState
from manager.model.farm import SLOTS
from manager.model.farm_resources import macs_in
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness

_GOES_ON_ALONE = frozenset({Reason.CATCHING_UP, Reason.SETTING_ASIDE, Reason.WAITING_FOR_MODULE, Reason.TRAFFIC_CLOSED})
"""Causes of a transient state that may last for hours, and in which it then goes on by itself: waiting for that is
another command's."""

_STARTED_WELL = frozenset({Reason.NO_DATA_NAMED})
"""Causes of a blocked state in which a start has done all it can."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a start or stop has come, node by node."""

    pending: tuple[NodeState, ...]
    failed: tuple[NodeState, ...]
    unknown: tuple[NodeState, ...]
    """Their agents are not there: what was asked for is kept for them, and they will see it."""

    @property
    def settled(self) -> bool:
        """Nothing more will come about by waiting a little."""
        return not self.pending


def of_start(module: ModuleView, nodes: Iterable[str]) -> Outcome:
    """How far the start of ``module`` on ``nodes`` has come."""
    pending: list[NodeState] = []
    failed: list[NodeState] = []
    unknown: list[NodeState] = []
    for node in _among(module, nodes):
        if _is_away(node):
            unknown.append(node)
        elif node.state in (None, ModuleState.STOP):
            (failed if node.readiness is Readiness.BLOCKED else pending).append(node)
        elif node.readiness is Readiness.BLOCKED:
            if node.reason not in _STARTED_WELL:
                failed.append(node)
        elif node.reason not in _GOES_ON_ALONE and (
            node.readiness is Readiness.TRANSIENT or node.state is ModuleState.WAIT
        ):
            pending.append(node)
    return Outcome(tuple(pending), tuple(failed), tuple(unknown))


def of_stop(module: ModuleView, nodes: Iterable[str]) -> Outcome:
    """How far the stop of ``module`` on ``nodes`` has come."""
    among = _among(module, nodes)
    unknown = tuple(n for n in among if _is_away(n))
    pending = tuple(n for n in among if n not in unknown and n.state is not ModuleState.STOP)
    return Outcome(pending, (), unknown)


def has_its_share(module: ModuleView, node: str) -> bool:
    """Whether ``node`` of a farm gets as much of what begins as its weight says, at each address that it reaches.

    One whose weight is 0 is due nothing, and so is one in a group of the chain that has to wait.
    """
    on = module.on(node)
    if on is None or on.farm is None or on.farm.weight == 0:
        return True
    wanted = takers(module.nodes, weights_of(module))
    if not on.takes_what_begins or on.farm.slots is None:
        return False
    due = SLOTS * wanted.get(node, 0) // max(1, sum(wanted.values()))
    reached = macs_in(on.resources) or on.farm.slots
    return all(slots is not None and slots >= due for a, slots in on.farm.slots.items() if a in reached)


def has_reached(module: ModuleView, goal: ModuleState, node: str) -> bool:
    """Whether ``node``, or with an empty name any node, is in ``goal``: at rest there, save for STOP and WAIT."""
    return any(_is_in(n, goal) for n in module.nodes if not node or n.node == node)


def _is_in(node: NodeState, goal: ModuleState) -> bool:
    if node.state is not goal:
        return False
    return goal in (ModuleState.STOP, ModuleState.WAIT) or node.readiness is Readiness.READY


def _is_away(node: NodeState) -> bool:
    return node.state is None and node.registered is False


def _among(module: ModuleView, nodes: Iterable[str]) -> list[NodeState]:
    wanted = set(nodes)
    return [n for n in module.nodes if n.node in wanted]
