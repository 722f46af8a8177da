"""Which node a mirror's configuration prefers, in words, where it is not the one that serves. Pure."""

from manager.cli.node_words import takes_over
from manager.model.api import ModuleView
from manager.model.reasons import Reason
from manager.model.states import ModuleState

_OPERATORS = frozenset({Reason.SWAP, Reason.PROMOTED_BY_OPERATOR, Reason.FORCED_BY_OPERATOR})
"""Causes of an epoch in which a preference is not followed."""


def preference_lines(module: ModuleView) -> list[str]:
    """That the module goes back to the node that is preferred, or what keeps it; none: it is there, or none is."""
    if module.holders is None:
        return _first(module)
    if not module.preferred or module.primary in ("", module.preferred):
        return []
    head = f"{module.name}: the configuration prefers {module.preferred} as the primary"
    swap = f"mirrorfarm swap {module.name} --node {module.primary}"
    if not takes_over(module):
        return [f"{head}; failover is off, so it does not go back by itself: {swap}"]
    if module.because in _OPERATORS:
        return [f"{head}; an operator has put it on {module.primary}, where it stays until the next take-over: {swap}"]
    node = module.on(module.preferred)
    if node is None or node.state is not ModuleState.SECOND:
        return [f"{head}; it goes back by a swap once that node has held everything for ten seconds"]
    return [f"{head}; it goes back by a swap within seconds, unless its application could not run there"]


def _first(module: ModuleView) -> list[str]:
    """Of the very first start."""
    if not module.initial:
        return []
    missing = [n.node for n in module.nodes if n.state in (None, ModuleState.STOP)]
    waits = f"; not started: {', '.join(missing)}" if missing else ""
    return [
        f"{module.name}: the configuration has {module.initial} serve first, once the module is started on every "
        f"node and no disk of theirs has had its data{waits}"
    ]
