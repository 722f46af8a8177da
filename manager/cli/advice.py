"""What an operator should do about one module on one node, when the other nodes and etcd are looked at too. Pure.

The sentence of a cause knows its module and node only; what helps often depends on what the other node is, and on
whether etcd answers. Where it is another node that has to be helped, what helps that one is said.
"""

import errno
import os
from collections.abc import Sequence

from manager.cli.farm_sentences import farm_sentence
from manager.cli.node_words import takes_over
from manager.cli.refused_words import refused_remedies
from manager.cli.sentences import Sentence, sentence
from manager.cli.waiting import waited_sentence
from manager.model.api import ModuleView, NodeState
from manager.model.reasons import Reason
from manager.model.resources import are_addresses_missing, unsteady_in
from manager.model.states import ModuleState, Readiness, Run

ASK_ETCD = "Run mirrorfarm check: it says which etcd members answer."
START_AGENT = "/etc/init.d/mirrorfarm-agent start (or systemctl start mirrorfarm-agent)"
_DETAILED = frozenset({Reason.REPLICATOR_FAILED, Reason.APPLICATION_FAILED, Reason.ADDRESS_FAILED, Reason.RULES_FAILED})
"""Causes of which only the node's own agent knows more."""


def remedy(
    module: ModuleView, node: NodeState, *, here: str, store_reachable: bool, waited: Sequence[ModuleView] = ()
) -> str:
    """What to do about ``module`` on ``node``; empty: nothing.

    Args:
        module: the whole module.
        node: one of its nodes.
        here: the node whose agent has answered, and knows more of itself.
        store_reachable: whether etcd answers that agent.
        waited: the modules for which the application waits there, as far as they are known.
    """
    if not store_reachable:
        return _without_etcd(node)
    waits = waited_sentence(node)
    if waits is not None:
        return " ".join([waits.remedy, *(_of_waited(m, here) for m in waited)]).strip()
    return _Advice(module, here).about(node)


def _of_waited(module: ModuleView, here: str) -> str:
    """What to do about a module that is waited for: on the node that was its primary last, else on the first one."""
    first = module.primary or module.last_primary
    nodes = sorted(module.nodes, key=lambda n: n.node != first)
    found = (_Advice(module, here).about(n) for n in nodes)
    todo = next((text for text in found if text), "")
    return f"Of {module.name}: {todo}" if todo else ""


class _Advice:
    """What to do about one module while etcd answers: no node is asked about twice on the way."""

    def __init__(self, module: ModuleView, here: str) -> None:
        self._module = module
        self._here = here
        self._asked: set[str] = set()

    def about(self, node: NodeState) -> str:
        """What to do about ``node``."""
        self._asked.add(node.node)
        if node.state is None:
            return _of_silent(node)
        if node.farm is not None:
            return _of_farm_node(self._module, node, here=self._here == node.node)
        if are_addresses_missing(node.resources):
            return self._of_missing_address(node)
        match node.reason:
            case Reason.SERVING_WITHOUT_PEER:
                return self._of_lone_primary(node)
            case Reason.REBOOTED_SINCE_LISTED:
                return self._of_rebooted(node)
            case Reason.NOT_IN_SYNC:
                return self._of_waiting(node)
            case Reason.DISK_IDENTITY_MISSING if node.listed is False:
                return self._of_no_copy(node)
            case Reason.STORE_REPLACED | Reason.STORE_WENT_BACK if self._module.primary:
                return _of_later_copy(self._module, node)
            case Reason.FAILOVER_OFF:
                return self._of_failover_off(node)
            case Reason.PROMISED_NOT_TO_STAND | Reason.WAITING_FOR_PRIMARY_LEASE if not takes_over(self._module):
                return self._of_no_failover(node)
            case Reason.CATCHING_UP if self._refused(node):
                return self._refused(node)
            case Reason.REPLICATOR_FAILED if _NO_SPACE in node.detail:
                return _of_full_disk(self._module.name, node.node)
        known = sentence(node.reason, self._module.name, node.node)
        return _from_there(self._module, node, known, here=self._here == node.node)

    def _refused(self, node: NodeState) -> str:
        """What to do about a stream between this node and ``node``, or of ``node`` where it is this one."""
        own = self._module.on(self._here)
        told = () if own is None or own.refused is None else own.refused
        if own is None or not any(r.node and (r.node == node.node or own is node) for r in told):
            return ""
        return " ".join(refused_remedies(self._module, self._here))

    def _of_missing_address(self, node: NodeState) -> str:
        name = self._module.name
        link = f"See to its link on {node.node}: address.unrenewed in the agent's log there says what is wrong."
        swap = f" Until then the other node can serve: mirrorfarm swap {name} --node {node.node}"
        is_pair = any(n.state is ModuleState.SECOND for n in self._module.nodes)
        return f"{link} It comes back by itself with the link.{swap if is_pair else ''}"

    def _of_lone_primary(self, primary: NodeState) -> str:
        others = [n for n in self._module.nodes if n.node != primary.node]
        return " ".join(self._of_missing(n) for n in others)

    def _of_missing(self, node: NodeState) -> str:
        name = self._module.name
        if node.state is None and node.registered is not True:
            start = f"start its agent there: {START_AGENT}"
            return f"See whether {node.node} is up, and {start}. It catches up by itself when it is back."
        if node.wanted is not Run.STARTED:
            return f"Start the module on {node.node}: mirrorfarm start {name} --node {node.node}"
        if self._refused(node):
            return self._refused(node)
        if node.readiness is Readiness.BLOCKED or node.reason in _DETAILED:
            return (
                self._of_other(node) or f"mirrorfarm why {name} --node {node.node} says what keeps it from catching up."
            )
        told = self._of_unsteady(node)
        return f"{told or f'Nothing: {node.node} catches up by itself.'} To wait for it: mirrorfarm wait {name} SECOND"

    def _of_unsteady(self, node: NodeState) -> str:
        """Of one that is lost again and again; empty: it is not, or that is not told."""
        told = (one for n in self._module.nodes for one in unsteady_in(n.resources) if one.node == node.node)
        flaps = next(told, None)
        if flaps is None:
            return ""
        return (
            f"Nothing, if its stream stays up for {flaps.stable_s} s: it was lost {flaps.losses} times. If it is lost "
            f"again, see to the network between the nodes, and to mirrorfarm logs {self._module.name} on {node.node}."
        )

    def _of_other(self, node: NodeState) -> str:
        """What helps ``node``; empty: nothing is known that does, or it was asked about already."""
        return "" if node.node in self._asked else self.about(node)

    def _of_waiting(self, node: NodeState) -> str:
        holders = _other_holders(self._module, node)
        if not holders:
            return sentence(node.reason, self._module.name, node.node).remedy
        said = " ".join(self._of_holder(n) for n in holders)
        if any(n.registered is not False for n in holders):
            return said
        names = " and ".join(n.node for n in holders)
        force = f"mirrorfarm prim {self._module.name} --node {node.node} --force"
        return f"{said} Only if {names} is gone for good: {force}, which first shows what may be lost."

    def _of_no_copy(self, node: NodeState) -> str:
        """Nothing whole is on its disks, so that a start of it is not even forced."""
        name, holders = self._module.name, _other_holders(self._module, node)
        if not holders:
            return sentence(node.reason, name, node.node).remedy
        said = " ".join(self._of_holder(n) for n in holders)
        names = " and ".join(n.node for n in holders)
        anew = f"mirrorfarm stop {name} --node {node.node}, mount it, mirrorfarm start {name} --node {node.node}"
        if any(n.registered is not False for n in holders):
            return f"If another disk belongs on {node.node}: {anew}. Else it is filled by {names} as primary. {said}"
        return (
            f"{said} Until then nothing serves: what {node.node} has is no whole copy, and cannot be forced. If "
            f"another disk belongs there: {anew}. If {names} is gone for good, a backup is all there is: "
            "docs/operations.md says how it is put in place."
        )

    def _of_rebooted(self, node: NodeState) -> str:
        """It has lost its memory: the others may have kept theirs, or be away."""
        others = _other_holders(self._module, node)
        if any(n.registered for n in others):
            return self._of_waiting(node)
        names = " and ".join(n.node for n in others)
        back = f"Bring {names} back: see whether it is up, and start its agent there: {START_AGENT}."
        if node.readiness is Readiness.TRANSIENT:
            return f"{back} If it stays away, {node.node} serves by itself within the next minute."
        return (
            f"{back} If it is gone for good, and writes that were not fsynced may be missing: "
            f"mirrorfarm prim {self._module.name} --node {node.node}"
        )

    def _of_failover_off(self, node: NodeState) -> str:
        last = self._module.on(self._module.last_primary)
        serve = self._to_serve(node)
        if last is None or last.node == node.node:
            return serve
        back = self._to_bring_back(last)
        return f"{last.node} was primary last, and becomes it again by itself. {back} {serve}"

    def _of_no_failover(self, node: NodeState) -> str:
        return (
            "Nothing, if the primary is back within the lease's time. Else it becomes the primary again by itself "
            f"when it is back, and no other node does. {self._to_serve(node)}"
        )

    def _to_serve(self, node: NodeState) -> str:
        name = self._module.name
        serve = f"To serve here: mirrorfarm prim {name} --node {node.node}."
        if self._module.maintenance:
            serve += f" To have nodes take over by themselves again: mirrorfarm maintenance {name} off"
        if self._module.failover_off:
            serve += (
                ' To have nodes take over by themselves again: failover = "on" in module.toml, '
                f"mirrorfarm module apply DIR, then mirrorfarm stop {name} and mirrorfarm start {name}"
            )
        return serve

    def _of_holder(self, node: NodeState) -> str:
        """``node`` has the good data, and is not primary."""
        return f"{node.node} holds every completed write. {self._to_bring_back(node)}"

    def _to_bring_back(self, node: NodeState) -> str:
        name = self._module.name
        if node.wanted is not Run.STARTED:
            return f"Start the module there: mirrorfarm start {name} --node {node.node}"
        if node.state is None:
            return f"Bring it back: see whether it is up, and start its agent there: {START_AGENT}."
        return self._of_other(node) or f"mirrorfarm why {name} --node {node.node} says what it waits for."


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
    if not here and not node.detail and node.reason in _DETAILED:
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
    "Until etcd answers nothing can be decided: no start, no other share, no other director. A director receives on "
    "for as long as every node that answers it promises not to. What begins at a node that dies is lost; where the "
    "director is lost, or its agent ends, nobody receives, unless another node reaches etcd and directs."
)


def _of_silent(node: NodeState) -> str:
    if node.registered is False:
        return f"See whether {node.node} is up, and start its agent there: {START_AGENT}"
    return "Ask again in a moment: its agent is there, and has said nothing of this module yet."


def _other_holders(module: ModuleView, node: NodeState) -> list[NodeState]:
    """The nodes beside ``node`` that hold every completed write."""
    return [n for n in module.nodes if n.node in (module.holders or ()) and n.node != node.node]


def _of_later_copy(module: ModuleView, node: NodeState) -> str:
    """Another node serves, and this one's disk has seen what that one may never have had."""
    anew = f"mirrorfarm stop {module.name} --node {node.node}", f"mirrorfarm start {module.name} --node {node.node}"
    return (
        f"{module.primary} serves, and the disk of {node.node} has seen what etcd does not know of. If its data is "
        f"needed, save it first, and what was set aside there: mirrorfarm aside {module.name}. Then {anew[0]}, remove "
        f"the directory .mirrorfarm in each replicated directory there, restart its agent, and {anew[1]}: its copy is "
        f"made equal to the one of {module.primary}."
    )


_NO_SPACE = os.strerror(errno.ENOSPC)


def _of_full_disk(module: str, node: str) -> str:
    """Its own files cannot be written."""
    return (
        f"A file system of {node} is full: free space on the ones of the module's directories, of "
        "/var/lib/mirrorfarm and /run there (df -h, df -i). It is tried again by itself; at once: mirrorfarm restart "
        f"{module} --node {node}"
    )
