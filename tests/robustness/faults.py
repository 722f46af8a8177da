"""How the faults of a schedule are made in a lab, and undone. It does not choose them (``tests.robustness.schedules``).

What is not possible at its moment raises LabError: the campaign notes it, and goes on.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from manager.lab.errors import LabError
from manager.lab.files import AGENT_INIT_SCRIPT
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine, What
from manager.lab.switch import Lost
from tests.robustness.schedules import Fault, Kind
from tests.robustness.sufferer import Sufferer
from tests.support import wall_clock

_OPERATOR_S = 30.0
"""An operator does not wait longer for an answer."""

_SETTLED_S = 0.8
"""A moment after a start the agent looks whether something has to go on."""

Suffered = contextlib.AbstractContextManager[None]


def suffer(cluster: Sufferer, fault: Fault) -> Suffered:
    """The fault, while the context lasts; it is undone at the context's end."""
    return _MAKERS[fault.kind](cluster, fault)


@contextlib.contextmanager
def _kill(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    lab, name, what = cluster.lab, _whom(cluster.lab, fault), What(fault.part)
    machine = lab[name]
    if what is What.APPLICATION and _age_s(machine) < _SETTLED_S:
        # Known: what is gone so soon after its start counts as something that had only to run once.
        raise LabError(f"on {name} the application has only just begun")
    machine.kill(what)
    yield
    # The product itself starts the others.
    if what is What.AGENT:
        _start_agent(lab, name)
    elif what is What.ETCD:
        lab.etcd.start([machine])


@contextlib.contextmanager
def _crash(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    lab = cluster.lab
    names = [name for name in fault.nodes if lab[name].is_up]
    if not names:
        raise LabError(f"{', '.join(fault.nodes)}: down already")
    for name in names:
        moment_ns = lab.crash(name, power=fault.kind is not Kind.CRASH)
        if fault.kind is not Kind.CRASH:
            cluster.note_power_loss(name, moment_ns)
    yield
    for name in names:
        lab.start(name, agents=False)
    for name in names:
        _start_agent(lab, name)


@contextlib.contextmanager
def _freeze(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    name = _whom(cluster.lab, fault)
    cluster.lab.freeze(name, What(fault.part) if fault.part else None)
    yield
    cluster.lab.thaw(name)


@contextlib.contextmanager
def _cut(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    name, *others = fault.nodes
    lost, etcd_alone = _CUTS[fault.kind]
    cut = cluster.lab.cut(name, others[0] if others else None, lost=lost, etcd_alone=etcd_alone)
    yield
    cluster.lab.mend(cut)


_CUTS = {
    Kind.CUT: (Lost.ALL, False), Kind.CUT_ONE_WAY: (Lost.SENT, False), Kind.CUT_DEAF: (Lost.RECEIVED, False),
    Kind.CUT_ETCD: (Lost.ALL, True), Kind.CUT_ETCD_ONE_WAY: (Lost.SENT, True),
    Kind.CUT_ETCD_DEAF: (Lost.RECEIVED, True),
}  # fmt: skip
"""What vanishes, and whether only of etcd's."""


@contextlib.contextmanager
def _etcd_dead(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    members = _running_members(cluster.lab, fault)
    for member in members:
        member.kill(What.ETCD)
    yield
    cluster.lab.etcd.start([member for member in members if member.is_up])


@contextlib.contextmanager
def _etcd_frozen(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    members = _running_members(cluster.lab, fault)
    for member in members:
        member.freeze(What.ETCD)
    yield
    for member in members:
        member.thaw()


def _running_members(lab: Lab, fault: Fault) -> list[RunningMachine]:
    members = [lab[name] for name in fault.nodes if lab[name].processes(What.ETCD)]
    if not members:
        raise LabError(f"{', '.join(fault.nodes)}: etcd does not run there")
    return members


@contextlib.contextmanager
def _full(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    (name,) = fault.nodes
    cluster.lab.fill(name)
    yield
    cluster.lab.free(name)


@contextlib.contextmanager
def _slow(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    (name,) = fault.nodes
    cluster.lab.slow(name, fault.amount)
    yield
    cluster.lab.hurry(name)


@contextlib.contextmanager
def _restart_agent(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    """As an administrator restarts it: in order, so the module is stopped there. An upgrade kills it, as ``_kill``."""
    (name,) = fault.nodes
    _not_frozen(cluster.lab, name)
    cluster.lab.node(name).run([AGENT_INIT_SCRIPT, "restart"], seconds=60)
    yield


@contextlib.contextmanager
def _swap(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    _operate(cluster, _whom(cluster.lab, fault), "swap", fault.module)
    yield


@contextlib.contextmanager
def _stop(cluster: Sufferer, fault: Fault) -> Iterator[None]:
    """The module, on one node or on both."""
    where = ("--node", fault.nodes[0]) if len(fault.nodes) == 1 else ()
    _operate(cluster, fault.nodes[0], "stop", fault.module, *where)
    yield
    _operate(cluster, fault.nodes[0], "start", fault.module, "--no-wait", *where)


@contextlib.contextmanager
def _wall_clock(_: Sufferer, fault: Fault) -> Iterator[None]:
    wall_clock.jump(int(fault.amount), fault.lasting_ms)
    yield


def _age_s(machine: RunningMachine) -> float:
    """Of the oldest process of the application."""
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    oldest_s = 0.0
    for process in machine.processes(What.APPLICATION):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ticks = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
            oldest_s = max(oldest_s, now_s - ticks / os.sysconf("SC_CLK_TCK"))
    return oldest_s


def _whom(lab: Lab, fault: Fault) -> str:
    if fault.nodes:
        return fault.nodes[0]
    serving = [node.name for node in lab.nodes if node.processes(What.APPLICATION)]
    if not serving:
        raise LabError("the application runs nowhere")
    return serving[0]


def _start_agent(lab: Lab, name: str) -> None:
    """Without a word from etcd, which may be away."""
    lab.node(name).run([AGENT_INIT_SCRIPT, "start"], seconds=60)


def _operate(cluster: Sufferer, name: str, *words: str) -> None:
    _not_frozen(cluster.lab, name)
    cluster.mirrorfarm(name, *words, seconds=_OPERATOR_S)


def _not_frozen(lab: Lab, name: str) -> None:
    """Nobody can type anything into a node that is frozen."""
    end = time.monotonic() + 1.0
    while lab[name].cgroup.frozen:
        if time.monotonic() >= end:
            raise LabError(f"{name} is frozen")
        time.sleep(0.05)


_MAKERS: dict[Kind, Callable[[Sufferer, Fault], Suffered]] = {
    Kind.KILL: _kill, Kind.CRASH: _crash, Kind.POWER: _crash, Kind.POWER_BOTH: _crash, Kind.FREEZE: _freeze,
    **dict.fromkeys(_CUTS, _cut), Kind.ETCD_DEAD: _etcd_dead, Kind.ETCD_FROZEN: _etcd_frozen, Kind.FULL: _full,
    Kind.SLOW: _slow, Kind.RESTART_AGENT: _restart_agent, Kind.SWAP: _swap, Kind.STOP: _stop,
    Kind.WALL_CLOCK: _wall_clock,
}  # fmt: skip
