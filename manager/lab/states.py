"""How a machine of the lab is, for people and programs: what is read of it, and in which words."""

from collections.abc import Sequence
from dataclasses import dataclass

from manager.lab.etcd import MemberState
from manager.lab.layout import Role
from manager.lab.machine import RunningMachine, What
from manager.lab.switch import Cut


@dataclass(frozen=True, slots=True)
class MachineState:
    """One machine, for people and programs."""

    name: str
    role: str
    ipv4: str
    ipv6: str
    power: str
    """``up``, ``frozen`` or ``down``."""
    cut_from: tuple[str, ...]
    """``b``: nothing passes between it and b; ``to b``, ``from b``: in that direction; ``etcd of b``: only that."""
    slow_bits: int
    """What passes its cable in a second; 0: as much as there is."""
    etcd: MemberState | None
    """``None``: it has no member."""
    agent: str
    """``running``, ``frozen``, ``stopped``; empty: it has none."""
    processes: int


def state_of(machine: RunningMachine, cuts: Sequence[Cut], slow_bits: int, etcd: MemberState | None) -> MachineState:
    """The machine as it is, given what the switch and etcd know."""
    power = "down" if not machine.is_up else "frozen" if machine.cgroup.frozen else "up"
    agent = ""
    if machine.machine.role is Role.NODE:
        found = machine.processes(What.AGENT)
        agent = "stopped" if not found else "frozen" if any(p.state == "T" for p in found) else "running"
    return MachineState(
        machine.name, machine.machine.role.value, machine.machine.ipv4, machine.machine.ipv6, power,
        cut_from(machine.name, cuts), slow_bits, etcd, agent, len(machine.processes()),
    )  # fmt: skip


def cut_from(name: str, cuts: Sequence[Cut]) -> tuple[str, ...]:
    """:attr:`MachineState.cut_from` of the machine of that name."""
    words = []
    for cut in cuts:
        to = {receiver for sender, receiver in cut.pairs if sender == name}
        of = {sender for sender, receiver in cut.pairs if receiver == name}
        kind = "etcd of " if cut.etcd_alone else ""
        words += [f"{kind}{other}" for other in sorted(to & of)]
        words += [f"to {kind}{other}" for other in sorted(to - of)]
        words += [f"from {kind}{other}" for other in sorted(of - to)]
    return tuple(words)
