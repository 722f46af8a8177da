"""A sentence, and what to do, for every cause that the cluster's decisions are given for.

The words of :class:`Reason` are for programs; these are for people. ``{module}`` and ``{node}`` stand for the module
and the node that is spoken of.
"""

from dataclasses import dataclass

from manager.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a cause means, and what to do about it."""

    says: str
    remedy: str
    """Empty: nothing has to be done."""

    def about(self, module: str, node: str) -> "Sentence":
        """The sentence with its module and node filled in."""
        return Sentence(self.says.format(module=module, node=node), self.remedy.format(module=module, node=node))


SENTENCES: dict[Reason, Sentence] = {
    # Why a node is in its state
    Reason.STOPPED_BY_OPERATOR: Sentence(
        "An operator stopped it.",
        "To start it: mirrorfarm start {module} --node {node}",
    ),
    Reason.NEVER_STARTED: Sentence(
        "It has not been started since it was applied.",
        "To start it on all its nodes: mirrorfarm start {module}",
    ),
    Reason.BOOT_OFF: Sentence(
        "Its agent was started, and the module is not started with it (boot off).",
        "To start it: mirrorfarm start {module} --node {node}. To have it started with the agent from now on: "
        "mirrorfarm boot prev -m {module} --node {node}",
    ),
    Reason.NO_DATA_NAMED: Sentence(
        "It is the first start, and nobody has said yet which node has the good data.",
        "Name that node: mirrorfarm prim {module} --node NODE. The other node's copy is made equal to it.",
    ),
    Reason.NOT_IN_SYNC: Sentence(
        "Its copy may lack completed writes, so it waits for a primary to copy from.",
        "Start the module on the node that was primary last: mirrorfarm history {module} names it. Only if that one is "
        "gone for good: mirrorfarm prim {module} --node {node} --force, which first shows what may be lost.",
    ),
    Reason.WAITING_FOR_PRIMARY_LEASE: Sentence(
        "The stream from the primary is not connected; while the primary's lease lasts, no other node may serve.",
        "Nothing: by itself, and within the lease's time, it is connected again or another node becomes primary.",
    ),
    Reason.WAITING_FOR_LAST_PRIMARY: Sentence(
        "The last primary is there, and goes first.",
        "Nothing: within seconds it serves, or this node does.",
    ),
    Reason.WAITING_FOR_PREFERRED: Sentence(
        "The node that the configuration prefers is there, and goes first.",
        "Nothing: within seconds it serves, or this node does.",
    ),
    Reason.REBOOTED_SINCE_LISTED: Sentence(
        "This machine has lost what was only in its memory (a reboot, or an error of its disk) since it was in sync, "
        "so it may lack writes that were not fsynced.",
        "Start the module on the other node, which then brings this one up to date. If that one is gone: mirrorfarm "
        "prim {module} --node {node}",
    ),
    Reason.DISK_IDENTITY_MISSING: Sentence(
        "The disk under the module's directories is no copy that was in sync: it was replaced, is not mounted, or was "
        "being brought in sync when that broke off.",
        "See that the right disk is mounted on {node}, then have it looked at anew: mirrorfarm stop {module} --node "
        "{node}, mirrorfarm start {module} --node {node}. If it is the right one, the other node fills it once that is "
        "primary: mirrorfarm state {module} shows which node could be. If a first start has failed here before it "
        "served, and no node has a copy: mirrorfarm prim {module} --node {node}",
    ),
    Reason.STORE_REPLACED: Sentence(
        "etcd is not the one that this node's disk has seen: it was rebuilt, or restored from a backup, and may not "
        "know which copy is the newest.",
        "Find out which node has the newest data, as docs/operations.md says, then: "
        "mirrorfarm prim {module} --node NODE. The other node's copy is made equal to it.",
    ),
    Reason.STORE_SETTLING: Sentence(
        "etcd was restored or rebuilt a moment ago: what it shows of the other nodes may be out of its backup, and of "
        "machines that are not there.",
        "Wait until twice a lease's time is over (lease.ttl, 10 s unless configured), see that every node's agent "
        "runs, look again at mirrorfarm why {module}, and ask again.",
    ),
    Reason.PROMISED_NOT_TO_STAND: Sentence(
        "It has promised the primary, for a short time, not to take over.",
        "Nothing: within the lease's time the primary is back, or this node takes over.",
    ),
    Reason.FAILOVER_OFF: Sentence(
        "Failover is off (by the configuration, or the module is in maintenance), so this node does not take over.",
        "Start the module on the last primary; or, to serve here: mirrorfarm prim {module} --node {node}",
    ),
    Reason.DISK_OF_OTHER_CLUSTER: Sentence(
        "The disk under the module's directories belongs to another cluster, another module or another node.",
        "See that the right disk is mounted on {node}, then have it looked at anew: mirrorfarm stop {module} --node "
        "{node}, mirrorfarm start {module} --node {node}. If its data is to be replaced by this module's, remove the "
        "directory .mirrorfarm in each replicated directory there between the two.",
    ),
    Reason.STORE_WENT_BACK: Sentence(
        "etcd knows less than this node's disk has seen: it was restored from a backup, or rebuilt.",
        "Find out which node has the newest data, as docs/operations.md says, then: "
        "mirrorfarm prim {module} --node NODE. The other node's copy is made equal to it.",
    ),
    Reason.RECORD_UNREADABLE: Sentence(
        "etcd holds a record of this module that this release does not understand.",
        "See which key it is, below. Where another release wrote it: install the same release of Mirrorfarm on all "
        "nodes.",
    ),
    Reason.STORE_UNREACHABLE: Sentence(
        "etcd does not answer this node, or has no majority, so nothing can be decided.",
        "Run mirrorfarm check on {node}: it says which etcd members answer.",
    ),
    Reason.OUTCOME_UNKNOWN: Sentence(
        "A decision was sent to etcd and not answered; the node waits until it knows whether it stands.",
        "Nothing, if etcd answers again; else run mirrorfarm check on {node}.",
    ),
    Reason.STARTING_REPLICATOR: Sentence(
        "The process that replicates the module's directories is being started.",
        "Nothing, if it lasts seconds. Else see mirrorfarm logs {module} on {node}.",
    ),
    Reason.ELECTING: Sentence(
        "It is asking etcd to become the primary.",
        "Nothing, if it lasts seconds. Else etcd is slow: run mirrorfarm check on {node}.",
    ),
    Reason.BECOMING_PRIMARY: Sentence(
        "It is the primary, and mounts the replicated directories.",
        "Nothing, if it lasts seconds. Else see mirrorfarm logs {module} on {node}.",
    ),
    Reason.WAITING_FOR_MODULE: Sentence(
        "Its application is started once each module that it depends on serves.",
        "Nothing, if they will in a moment: then this node goes on by itself. Else mirrorfarm state shows which of "
        "them does not serve.",
    ),
    Reason.STARTING_APPLICATION: Sentence(
        "The application is being started.",
        "Nothing: it runs, or has failed, within its start_timeout. What its script says meanwhile: mirrorfarm logs "
        "{module} --script start_prim on {node}",
    ),
    Reason.STOPPING_APPLICATION: Sentence(
        "The application is being stopped.",
        "Nothing: what has not ended within its stop_timeout is killed. What its script says meanwhile: mirrorfarm "
        "logs {module} --script stop_prim on {node}",
    ),
    Reason.SERVING: Sentence("The application runs here, and every completed write is on both nodes.", ""),
    Reason.SERVING_WITHOUT_PEER: Sentence(
        "The application runs here, and there is one copy of the data: the other node does not hold it.",
        "Bring the other node back, or start the module there: mirrorfarm why {module} --node NODE says what it lacks.",
    ),
    Reason.SERVING_WITHOUT_STORE: Sentence(
        "It serves although etcd does not answer: no other node can be promoted meanwhile.",
        "See to etcd: mirrorfarm check. Until it answers, nothing can be changed, and no node takes over.",
    ),
    Reason.RESUMING: Sentence(
        "etcd is back, and this node writes its place as primary anew.",
        "Nothing, if it lasts seconds. Else etcd is slow: run mirrorfarm check on {node}.",
    ),
    Reason.CATCHING_UP: Sentence(
        "What this node lacks is copied from the primary, while the application runs, as soon as their stream stands.",
        "Nothing: it is then up to date by itself. To wait for it: mirrorfarm wait {module} SECOND --node {node}",
    ),
    Reason.SETTING_ASIDE: Sentence(
        "An operator had the other node's copy go on without this one's. What differs here is being set aside before "
        "this copy is made equal to the primary's.",
        "Nothing: it is then brought in sync by itself. What was set aside: mirrorfarm aside {module} on {node}",
    ),
    Reason.SET_ASIDE_FULL: Sentence(
        "An operator had the other node's copy go on without this one's, and there is no room to set aside what "
        "differs here. Nothing of this copy was changed, and it is not brought in sync.",
        "On {node}: free space, clear older ones (mirrorfarm aside {module} clear N), or raise set_aside in [resync] "
        "of module.toml, which counts from the module's next start there. It is tried again by itself. If nothing here "
        "is needed: mirrorfarm aside {module} give-up",
    ),
    Reason.SET_ASIDE_FAILED: Sentence(
        "An operator had the other node's copy go on without this one's, and what differs here could not be set aside. "
        "Nothing of this copy was changed, and it is not brought in sync.",
        "On {node}: mirrorfarm why {module} says what failed; look at that disk. It is tried again by itself. If "
        "nothing here is needed: mirrorfarm aside {module} give-up",
    ),
    Reason.IN_SYNC: Sentence("It holds every completed write, and takes over when the primary fails.", ""),
    Reason.HANDING_OVER: Sentence(
        "It is handing the application over to the other node.",
        "Nothing: when its application has stopped, the other node serves; if that does not take it, this one goes on.",
    ),
    Reason.DROPPING_PEER: Sentence(
        "The other node does not answer; writes are held until it is taken out of the in-sync record.",
        "Nothing: this ends by itself. If it lasts, etcd is slow: run mirrorfarm check on {node}.",
    ),
    Reason.LEASE_LOST: Sentence(
        "This node could not renew its lease in time and stopped serving, so that another one may.",
        "Run mirrorfarm check on {node}: its network or etcd was away. It comes back by itself.",
    ),
    Reason.REPLICATOR_FAILED: Sentence(
        "The process that replicates the module's directories on this node failed.",
        "Run mirrorfarm check on {node}, which looks at the directories, and see mirrorfarm logs {module} there. It is "
        "tried again by itself; at once: mirrorfarm restart {module} --node {node}",
    ),
    Reason.APPLICATION_FAILED: Sentence(
        "The application could not be started, or stopped by itself.",
        "Run mirrorfarm logs {module} --script start_prim on {node}; it names the scripts and services that have logs. "
        "When the cause is gone: mirrorfarm restart {module} --node {node}",
    ),
    Reason.ADDRESS_IN_USE: Sentence(
        "Another machine answers for one of the module's virtual addresses.",
        "Find that machine and take the address away from it, then: mirrorfarm restart {module} --node {node}",
    ),
    Reason.ADDRESS_FAILED: Sentence(
        "A virtual address of the module could not be added on this node.",
        "See /var/log/mirrorfarm/agent.log on {node}, and that the interface is there; it is tried again by itself.",
    ),
    Reason.RULES_FAILED: Sentence(
        "The kernel of {node} has not taken the rules by which the farm's connections are shared.",
        "See /var/log/mirrorfarm/agent.log on {node}, and that nft works there; it is tried again by itself.",
    ),
    Reason.TRAFFIC_CLOSED: Sentence(
        "The application runs here, and this node's traffic is closed: its scripts have not opened it, or it was "
        "closed again. What clients begin goes to the other nodes.",
        "Nothing, if the application needs its time: its scripts run mirrorfarm farm open when it is ready. What they "
        "did last: mirrorfarm logs {module} --script start_both on {node}; to open it by hand, on {node}: mirrorfarm "
        "farm open {module}",
    ),
    Reason.DIRECTOR_UNKNOWN: Sentence(
        "The application runs here, but etcd does not answer, and no director is heard of that would still receive: "
        "unless another node reaches etcd and directs, what clients begin reaches no node.",
        "See to etcd: mirrorfarm check. Once it answers, a node receives again within seconds.",
    ),
    Reason.WAITING_FOR_DIRECTOR: Sentence(
        "No node receives for one of the farm's addresses.",
        "Nothing, if it lasts seconds: then a node does. Else mirrorfarm why {module} --node NODE, with each of the "
        "other nodes, says more.",
    ),
    Reason.WAITING_TO_STOP: Sentence(
        "It stops as soon as the primary writes nothing more, so that both stay listed as up to date.",
        "Nothing: it ends by itself, at the latest half a minute after the application's stop.",
    ),
    Reason.WAITING_TO_STOP_LAST: Sentence(
        "It stops after the other node, so that both stay listed as up to date.",
        "Nothing: it ends by itself, at the latest half a minute after the application's stop.",
    ),
    Reason.INTERNAL_ERROR: Sentence(
        "The agent met an error of its own on this node and left the module safely.",
        "See /var/log/mirrorfarm/agent.log on {node}, and report it. Then: mirrorfarm restart {module} --node {node}",
    ),
    # Why a primary took over
    Reason.FIRST_START: Sentence("It was the first start: an operator named this node's data.", ""),
    Reason.INITIAL_PRIMARY: Sentence("It was the first start: the configuration's initial_primary names it.", ""),
    Reason.PRIMARY_LOST: Sentence(
        "The primary before it was not heard of any more: its machine, its network or its agent failed.",
        "Look at the former primary's machine; when it is back it catches up by itself.",
    ),
    Reason.PRIMARY_GAVE_UP: Sentence(
        "The primary before it gave its place up: its replicator or its application failed there, or its right to "
        "serve had ended.",
        "See mirrorfarm logs {module}, and /var/log/mirrorfarm/agent.log, on the former primary.",
    ),
    Reason.PRIMARY_STOPPED: Sentence("The primary before it was stopped.", ""),
    Reason.PRIMARY_RESTARTED: Sentence("The same node became primary again after a restart.", ""),
    Reason.SWAP: Sentence("An operator swapped the nodes.", ""),
    Reason.POWER_LOSS_OF_ALL: Sentence(
        "All nodes had lost power. Writes that were fsynced are there; writes that were not may be missing.",
        "Let the application check its data, if it writes without fsync.",
    ),
    Reason.POWER_LOSS_OTHERS_AWAY: Sentence(
        "It had lost its memory (a reboot, or an error of its disk), and the other node was not there. Writes that "
        "were fsynced are there; writes that were not may be missing.",
        "Let the application check its data, if it writes without fsync.",
    ),
    Reason.PROMOTED_BY_OPERATOR: Sentence("An operator named it.", ""),
    Reason.FORCED_BY_OPERATOR: Sentence(
        "An operator had its copy go on although the last primary's may be newer: completed writes may be missing.",
        "Let the application check its data. When the last primary is back, what its copy has of its own is set aside "
        "there: mirrorfarm aside {module}",
    ),
    Reason.PREFERRED_PRIMARY: Sentence("It is the node that the configuration prefers, and was in sync again.", ""),
    # Why a request is refused
    Reason.UNKNOWN_ACTION: Sentence(
        "The agent on {node} does not know this request.",
        "Install the same release of Mirrorfarm on all nodes.",
    ),
    Reason.NOT_A_MIRROR: Sentence(
        "Module {module} is a farm: all its nodes serve, and none is the primary.",
        "To have {node} get more or less of the connections: mirrorfarm farm weight {module} {node} WEIGHT",
    ),
    Reason.NODE_NOT_STARTED: Sentence(
        "The module is not started on {node}.",
        "Start it first: mirrorfarm start {module} --node {node}",
    ),
    Reason.ALREADY_PRIMARY: Sentence("{node} is the primary already.", ""),
    Reason.NOT_PRIMARY: Sentence(
        "{node} is not the primary.",
        "mirrorfarm state {module} shows which node is.",
    ),
    Reason.NO_SECONDARY: Sentence(
        "There is no secondary to hand over to: there is one copy of the data.",
        "Start the module on the other node and wait: mirrorfarm wait {module} SECOND",
    ),
    Reason.SECONDARY_NOT_IN_SYNC: Sentence(
        "The other node does not hold every completed write yet.",
        "Wait until it does: mirrorfarm wait {module} SECOND",
    ),
    Reason.BUSY: Sentence(
        "{node} is in the middle of another change.",
        "Ask again when it is done: mirrorfarm state {module} shows it.",
    ),
    Reason.PRIMARY_ALIVE: Sentence(
        "The last primary still has its place, or answers.",
        "mirrorfarm state {module} shows it. To move the application: mirrorfarm swap {module}",
    ),
    Reason.LAST_PRIMARY_REGISTERED: Sentence(
        "The agent of the node that was primary last is registered in etcd: it is alive, or was until a moment ago, "
        "and its copy is the newest.",
        "Start the module there: mirrorfarm why {module} --node NODE, with its name, says what it waits for. If it "
        "went off just now, ask again when its lease has ended. Only if its copy is of no use: turn that machine off, "
        "then ask again.",
    ),
    Reason.LAST_PRIMARY_ANSWERS: Sentence(
        "The node that was primary last answers on the network, so that it is not off: it may still serve, and its "
        "copy is the newest. No copy was changed.",
        "Start its agent and the module there. Only if its copy is of no use: turn that machine off, then ask again.",
    ),
    Reason.NEWER_COPY_THERE: Sentence(
        "Another node that is listed is there: its copy has what this one lacks. No copy was changed.",
        "mirrorfarm why {module} --node {node} names it, and says what it waits for. To have that one serve: "
        "mirrorfarm prim {module} --node NODE. Only if its copy is of no use: turn that machine off, then ask again.",
    ),
    Reason.NOT_CONFIRMED_OFF: Sentence(
        "Nobody has said, by its name, that the node which was primary last is off. No copy was changed.",
        "See that this machine is turned off, then: mirrorfarm prim {module} --node {node} --force",
    ),
    Reason.FENCING_FAILED: Sentence(
        "The module's script fence, which is to turn the last primary off, did not say that it has. No copy was "
        "changed.",
        "On {node}: mirrorfarm logs {module} --script fence. Turn that machine off by hand, and say so: "
        "mirrorfarm prim {module} --node {node} --force",
    ),
    Reason.NOBODY_LEFT: Sentence(
        "No node would be left to which anything goes that clients begin.",
        "Give another node a weight first, or start the module there: mirrorfarm state {module} shows them.",
    ),
    Reason.SUPERSEDED: Sentence(
        "Something else happened first: a newer request, or a failure.",
        "mirrorfarm state {module} shows how things stand; ask again if they are not as wanted.",
    ),
    Reason.TIMED_OUT: Sentence(
        "It was not done in time, and was given up.",
        "mirrorfarm why {module} --node {node} says what it was waiting for.",
    ),
}
"""One for each :class:`Reason`: a unit test holds it complete."""


def sentence(reason: str, module: str, node: str) -> Sentence:
    """The sentence for ``reason``; one that a newer agent gave is shown as the word it is."""
    try:
        known = Reason(reason)
    except ValueError:
        word = f"The agent says: {reason}." if reason else "The cause is not known."
        return Sentence(word, "")
    return SENTENCES[known].about(module, node)
