"""What an operator should do about one module on one node, when the other nodes and etcd are looked at too. Pure.

The sentence of a cause knows its module and node only; what helps often depends on what the other node is, and on
whether etcd answers.
"""

from manager.cli.farm_sentences import farm_sentence
from manager.cli.sentences import Sentence, sentence
from manager.cli.waiting import waited_sentence
from manager.model.api import ModuleView, NodeState
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness, Run

ASK_ETCD = "Run mirrorfarm check: it says which etcd members answer."
START_AGENT = "/etc/init.d/mirrorfarm-agent start (or systemctl start mirrorfarm-agent)"
_DETAILED = frozenset({Reason.REPLICATOR_FAILED, Reason.APPLICATION_FAILED, Reason.ADDRESS_FAILED, Reason.RULES_FAILED})
"""Causes of which only the node's own agent knows more."""


def remedy(module: ModuleView, node: NodeState, *, here: bool, store_reachable: bool) -> str:
    """What to do about ``module`` on ``node``; empty: nothing.

    Args:
        module: the whole module.
        node: one of its nodes.
        here: whether it is the node whose agent has answered.
        store_reachable: whether etcd answers that agent.
    """
    if not store_reachable:
        return _without_etcd(node)
    if node.state is None:
        return _of_silent(node)
    waited = waited_sentence(node)
    if waited is not None:
        return waited.remedy
    if node.farm is not None:
        return _of_farm_node(module, node, here=here)
    if node.reason == Reason.SERVING_WITHOUT_PEER:
        return _of_lone_primary(module, node)
    if node.reason == Reason.REBOOTED_SINCE_LISTED:
        return _of_rebooted(module, node)
    if node.reason == Reason.NOT_IN_SYNC:
        return _of_waiting(module, node)
    if node.reason == Reason.DISK_IDENTITY_MISSING and node.listed is False:
        return _of_no_copy(module, node)
    if node.reason in (Reason.STORE_REPLACED, Reason.STORE_WENT_BACK) and module.primary:
        return _of_later_copy(module, node)
    if node.reason == Reason.FAILOVER_OFF:
        return _of_failover_off(module, node)
    return _from_there(module, node, sentence(node.reason, module.name, node.node), here=here)


def _of_farm_node(module: ModuleView, node: NodeState, *, here: bool) -> str:
    todo = _from_there(module, node, farm_sentence(node.reason, module.name, node.node), here=here)
    share = node.farm
    if todo or share is None or share.weight or node.state is not ModuleState.UP:
        return todo
    if share.switched and share.configured:
        return f"To have it take a share again: mirrorfarm farm undrain {module.name} {node.node}"
    return f"To have it take a share: mirrorfarm farm weight {module.name} {node.node} 1"


def _from_there(module: ModuleView, node: NodeState, known: Sentence, *, here: bool) -> str:
    """What to do about a cause; where only the node's own agent knows more, that it does."""
    if not here and node.reason in _DETAILED:
        return f"mirrorfarm --node {node.node} why {module.name} says more. {known.remedy}"
    return known.remedy


def refusal(reason: str, module: str, node: str, primary: str) -> Sentence:
    """What a refused request means and what to do; ``primary``: the node that is it now, empty: none is known."""
    known = sentence(reason, module, node)
    if reason == Reason.NOT_PRIMARY and primary:
        ask = f"Ask {primary}: mirrorfarm swap {module} --node {primary}"
        return Sentence(f"{primary} is the primary, not {node}.", ask)
    if reason == Reason.NOT_PRIMARY:
        return Sentence("There is no primary to hand over.", f"mirrorfarm why {module} says what is waited for.")
    return known


def _without_etcd(node: NodeState) -> str:
    if node.farm is not None:
        return f"{_UNSHARED} {ASK_ETCD}"
    if node.reason == Reason.SERVING_WITHOUT_STORE:
        return f"Nothing for the application, which runs on. {_UNDECIDED} {ASK_ETCD}"
    if node.state is not None and node.state.is_primary:
        return f"It stops within the lease's time, unless etcd answers again or no other node can take over. {ASK_ETCD}"
    return f"{_UNDECIDED} {ASK_ETCD}"


_UNDECIDED = "Until etcd answers nothing can be decided: no start, no take-over."
_UNSHARED = (
    "Until etcd answers nothing can be decided: no start, no other share, no other director. A director "
    "answers for its address to the end of its lease; after that what begins reaches no node, and soon what is open "
    "does not either, unless another node reaches etcd and directs."
)


def _of_silent(node: NodeState) -> str:
    if node.registered is False:
        return f"See whether {node.node} is up; start its agent there: {START_AGENT}"
    return "Ask again in a moment: its agent is there, and has said nothing of this module yet."


def _of_lone_primary(module: ModuleView, primary: NodeState) -> str:
    others = [n for n in module.nodes if n.node != primary.node]
    return " ".join(_of_missing(module.name, n) for n in others)


def _of_missing(module: str, node: NodeState) -> str:
    if node.state is None and node.registered is not True:
        return f"See whether {node.node} is up, and its agent runs: it catches up by itself when it is back."
    if node.wanted is not Run.STARTED:
        return f"Start the module on {node.node}: mirrorfarm start {module} --node {node.node}"
    if node.readiness is Readiness.BLOCKED or node.reason in _DETAILED:
        return f"mirrorfarm why {module} --node {node.node} says what keeps it from catching up."
    return f"Nothing: {node.node} catches up by itself. To wait for it: mirrorfarm wait {module} SECOND"


def _of_waiting(module: ModuleView, node: NodeState) -> str:
    holders = _other_holders(module, node)
    if not holders:
        return sentence(node.reason, module.name, node.node).remedy
    said = " ".join(_of_holder(module.name, n) for n in holders)
    if any(n.registered is not False for n in holders):
        return said
    names = " and ".join(n.node for n in holders)
    force = f"mirrorfarm prim {module.name} --node {node.node} --force"
    return f"{said} Only if {names} is gone for good: {force}, which first shows what may be lost."


def _of_no_copy(module: ModuleView, node: NodeState) -> str:
    """Nothing whole is on its disks, so that a start of it is not even forced."""
    holders = _other_holders(module, node)
    if not holders:
        return sentence(node.reason, module.name, node.node).remedy
    said = " ".join(_of_holder(module.name, n) for n in holders)
    names = " and ".join(n.node for n in holders)
    if any(n.registered is not False for n in holders):
        return f"If another disk belongs on {node.node}, mount it. Else it is filled by {names} as primary. {said}"
    return (
        f"{said} Until then nothing serves: what {node.node} has is no whole copy, and cannot be forced. If another "
        f"disk belongs there, mount it, then: mirrorfarm restart {module.name} --node {node.node}. If {names} is gone "
        "for good, a backup is all there is: docs/operations.md says how it is put in place."
    )


def _other_holders(module: ModuleView, node: NodeState) -> list[NodeState]:
    """The nodes beside ``node`` that hold every completed write."""
    return [n for n in module.nodes if n.node in (module.holders or ()) and n.node != node.node]


def _of_rebooted(module: ModuleView, node: NodeState) -> str:
    """It has lost its memory: the others may have kept theirs, or be away."""
    others = _other_holders(module, node)
    if any(n.registered for n in others):
        return _of_waiting(module, node)
    names = " and ".join(n.node for n in others)
    if node.readiness is Readiness.TRANSIENT:
        return f"Bring {names} back. If it stays away, {node.node} serves by itself within the next minute."
    return (
        f"Bring {names} back. If it is gone for good, and writes that were not fsynced may be missing: "
        f"mirrorfarm prim {module.name} --node {node.node}"
    )


def _of_later_copy(module: ModuleView, node: NodeState) -> str:
    """Another node serves, and this one's disk has seen what that one may never have had."""
    return (
        f"{module.primary} serves, and the disk of {node.node} has seen what etcd does not know of. If its data is "
        f"needed, save it first. Then remove the directory .mirrorfarm in each replicated directory on {node.node} and "
        f"start the module there again: its copy is made equal to the one of {module.primary}."
    )


def _of_failover_off(module: ModuleView, node: NodeState) -> str:
    last = module.on(module.last_primary)
    end = f" To have nodes take over by themselves again: mirrorfarm maintenance {module.name} off"
    serve = f"To serve here: mirrorfarm prim {module.name} --node {node.node}.{end if module.maintenance else ''}"
    if last is None or last.node == node.node:
        return serve
    return f"{last.node} was primary last, and becomes it again by itself. {_to_bring_back(module.name, last)} {serve}"


def _of_holder(module: str, node: NodeState) -> str:
    """``node`` has the good data, and is not primary."""
    return f"{node.node} holds every completed write. {_to_bring_back(module, node)}"


def _to_bring_back(module: str, node: NodeState) -> str:
    if node.wanted is not Run.STARTED:
        return f"Start the module there: mirrorfarm start {module} --node {node.node}"
    if node.state is None:
        return "Bring it back: see whether it is up, and its agent runs."
    return f"mirrorfarm why {module} --node {node.node} says what it waits for."
