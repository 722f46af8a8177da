"""One module on one node, in the words that every display uses, of whatever kind the module is.

ALONE always says that there is one copy; what is not known says "unknown".
"""

from manager.cli.farm_sentences import farm_sentence
from manager.cli.sentences import sentence
from manager.cli.waiting import waited_sentence
from manager.model.api import ModuleView, NodeState
from manager.model.reasons import Reason
from manager.model.resources import are_addresses_missing, is_unwatched
from manager.model.states import ModuleState, Readiness

UNKNOWN = "unknown"

_STYLES = {
    ModuleState.STOP: "dim",
    ModuleState.WAIT: "yellow",
    ModuleState.ALONE: "bold yellow",
    ModuleState.PRIM: "bold green",
    ModuleState.SECOND: "green",
    ModuleState.UP: "bold green",
}


def state_word(node: NodeState) -> str:
    """The state as every display says it."""
    if node.state is None:
        return UNKNOWN
    return "ALONE (one copy)" if node.state is ModuleState.ALONE else str(node.state)


def readiness_word(node: NodeState) -> str:
    """``ready``, ``transient`` or ``blocked``."""
    return UNKNOWN if node.readiness is None else str(node.readiness)


def why_words(module: str, node: NodeState, *, failover: bool | None = None) -> str:
    """The cause; ``failover``: whether nodes take over by themselves, ``None``: not known here."""
    says = _cause(module, node, failover)
    if node.readiness is Readiness.READY and is_unwatched(node.resources):
        says = f"{says} {_UNWATCHED}"
    return f"{says} {_UNREACHED}" if are_addresses_missing(node.resources) else says


_UNREACHED = "A virtual address is missing here, and cannot be added: no client comes by it."
_UNWATCHED = "Its start has left no process that is watched: whether the application works is not known."


def _cause(module: str, node: NodeState, failover: bool | None) -> str:
    if node.state is None and node.registered is None:
        return node.detail or "only etcd could tell"
    if node.state is None:
        return "its agent is not registered in etcd" if node.registered is False else "nothing was heard of it yet"
    said = sentence if node.farm is None else farm_sentence
    if node.registered is None and node.reason == Reason.IN_SYNC:
        return "It held every completed write when etcd was last heard."
    if node.reason == Reason.IN_SYNC and not failover:
        return f"{_HOLDS_ALL}{_STAYS if failover is False else '.'}"
    if node.reason == Reason.HANDING_OVER and node.state is ModuleState.SECOND:
        return "The other node is handing the application over to this one."
    if node.reason == Reason.SERVING and _takes_nothing(node):
        return "The application runs here; by its tables nothing that clients begin goes to it."
    return (waited_sentence(node) or said(node.reason, module, node.node)).says


def _takes_nothing(node: NodeState) -> bool:
    """Of a farm: its share of each address is known to be none."""
    return node.farm is not None and node.farm.slots is not None and set(node.farm.slots.values()) == {0}


_HOLDS_ALL = "It holds every completed write"
_STAYS = "; failover is off, so that it does not take over by itself."


def takes_over(module: ModuleView) -> bool:
    """Whether its nodes take over by themselves."""
    return not (module.maintenance or module.failover_off)


def why_with_detail(module: str, node: NodeState, *, failover: bool | None = None) -> str:
    """The cause; of what cannot go on, also what this node's agent adds. ``failover`` as in :func:`why_words`."""
    says = why_words(module, node, failover=failover)
    return f"{says} ({node.detail})" if node.detail and node.readiness is Readiness.BLOCKED else says


def node_word(node: NodeState, here: str) -> str:
    """Its name, and whether it is the one that answers."""
    return f"{node.node} (here)" if node.node == here else node.node


def style(node: NodeState) -> str:
    """How its state looks."""
    return _STYLES[node.state] if node.state is not None else "bold red"
