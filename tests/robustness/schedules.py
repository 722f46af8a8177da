"""What shall fail when: one seed, one schedule. Pure.

It does not know how a fault is made (``tests.robustness.faults``), nor whether it is possible at its moment: a node
that is down cannot be frozen, and then it is not.
"""

import dataclasses
import enum
import random
from collections.abc import Callable
from dataclasses import dataclass

_LONGEST_MS = 25_000
"""When the last fault has begun, at the latest."""
_OUTLIVED_MS = 65_000
"""How long etcd is gone when it is gone for long."""


class Kind(enum.StrEnum):
    """Of a fault."""

    KILL = "kill"
    CRASH = "crash"
    POWER = "power"
    POWER_BOTH = "power-both"
    FREEZE = "freeze"
    CUT = "cut"
    CUT_ONE_WAY = "cut-one-way"
    CUT_DEAF = "cut-deaf"
    CUT_ETCD = "cut-etcd"
    CUT_ETCD_ONE_WAY = "cut-etcd-one-way"
    CUT_ETCD_DEAF = "cut-etcd-deaf"
    ETCD_DEAD = "etcd-dead"
    ETCD_FROZEN = "etcd-frozen"
    FULL = "full"
    SLOW = "slow"
    RESTART_AGENT = "restart-agent"
    SWAP = "swap"
    STOP = "stop"
    WALL_CLOCK = "wall-clock"


@dataclass(frozen=True, slots=True)
class Fault:
    """One, with all that it needs to be made again."""

    at_ms: int
    """After the schedule's beginning."""
    lasting_ms: int
    """Then it is undone, as far as there is something to undo."""
    kind: Kind
    nodes: tuple[str, ...] = ()
    """Whom it befalls; none: the node on which the application runs then. Of a cut: the machine and, if there is a
    second, the other one; else all others."""
    part: str = ""
    """Of a node (``manager.lab.machine.What``); empty: all of it."""
    amount: str = ""
    """A rate, or a jump in milliseconds."""
    module: str = ""
    """Of what an operator does."""

    @property
    def name(self) -> str:
        """For people: ``kill replicator a``."""
        return " ".join(word for word in (self.kind, self.part, *self.nodes, self.amount) if word)

    @property
    def family(self) -> str:
        """The name without the nodes: what is compared with its like."""
        count = f"{len(self.nodes)} of 3" if self.kind in (Kind.ETCD_DEAD, Kind.ETCD_FROZEN) else ""
        return " ".join(word for word in (self.kind, self.part, count) if word)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All faults of a run."""

    seed: int
    faults: tuple[Fault, ...]

    @property
    def end_ms(self) -> int:
        """When the last one has been undone."""
        return max(fault.at_ms + fault.lasting_ms for fault in self.faults)

    def lines(self) -> list[str]:
        """For people, in their order."""
        return [f"{f.at_ms / 1000:7.3f} s  {f.name}  for {f.lasting_ms / 1000:g} s" for f in self.faults]


def make_schedule(
    seed: int,
    *,
    wall_clock: bool = False,
    short: bool = False,
    nodes: tuple[str, ...] = ("a", "b"),
    modules: tuple[str, ...] = ("db",),
) -> Schedule:
    """The schedule of ``seed``.

    Args:
        seed: any number.
        wall_clock: whether the wall clock, which is the host's, may jump.
        short: none is long enough to outlive a minute without etcd, and fewer come.
        nodes: whom it may befall.
        modules: those that an operator has to do with.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    at_ms = chance.randrange(500, 3000)
    for _ in range(chance.randrange(1, 3) if short else chance.randrange(2, 6)):
        if at_ms > _LONGEST_MS:
            break
        together = chance.choices((1, 2, 3), (8, 2, 1))[0]
        for _ in range(together):
            faults.append(_fault(chance, at_ms + chance.randrange(400), nodes, wall_clock, short))
        last = faults[-1]
        # Now and then the next comes while this one lasts.
        within = chance.random() < 0.3
        at_ms = last.at_ms + (chance.randrange(last.lasting_ms + 1) if within else last.lasting_ms)
        at_ms += chance.choice((200, 1500, 4000, 8000))
    ordered = sorted(faults, key=lambda f: f.at_ms)
    return Schedule(seed, tuple(_in_a_direction(_of_a_module(fault, modules)) for fault in ordered))


def without_operators(schedule: Schedule, nodes: tuple[str, ...]) -> Schedule:
    """The same, but for what only an operator would undo: modules that he has stopped, and applications that failed.

    Then there is an agent killed, or restarted, instead.
    """

    def other(fault: Fault) -> Fault:
        node = fault.nodes[:1] or (nodes[fault.at_ms % len(nodes)],)
        if fault.kind is Kind.STOP:
            return dataclasses.replace(fault, kind=Kind.RESTART_AGENT, nodes=node, module="")
        if fault.kind is Kind.KILL and fault.part == "application":
            return dataclasses.replace(fault, part="agent", nodes=node)
        return fault

    return Schedule(schedule.seed, tuple(map(other, schedule.faults)))


def _of_a_module(fault: Fault, modules: tuple[str, ...]) -> Fault:
    """With a module, where it has to do with one; drawn from its moment, as all else is from the seed."""
    if fault.kind not in (Kind.SWAP, Kind.STOP):
        return fault
    return dataclasses.replace(fault, module=modules[fault.at_ms % len(modules)])


def _in_a_direction(fault: Fault) -> Fault:
    """A cut of one node from all, or from etcd, in one direction or the other; drawn from its moment, too."""
    kinds = _WAYS.get(fault.kind)
    if kinds is None or len(fault.nodes) > 1:
        return fault
    return dataclasses.replace(fault, kind=kinds[fault.at_ms % len(kinds)])


def _fault(chance: random.Random, at_ms: int, nodes: tuple[str, ...], wall_clock: bool, short: bool) -> Fault:
    kinds = [kind for kind in Kind if kind not in _OF_A_WAY and (wall_clock or kind is not Kind.WALL_CLOCK)]
    kind = chance.choices(kinds, [_WEIGHTS.get(kind, 2) for kind in kinds])[0]
    fault = Fault(at_ms, _how_long_ms(chance, kind, short), kind, (chance.choice(nodes),))
    return _MAKERS[kind](chance, fault, nodes) if kind in _MAKERS else fault


_WAYS = {
    Kind.CUT_ONE_WAY: (Kind.CUT_ONE_WAY, Kind.CUT_DEAF),
    Kind.CUT_ETCD: (Kind.CUT_ETCD, Kind.CUT_ETCD_ONE_WAY, Kind.CUT_ETCD_DEAF),
}
"""Of each cut that the seed draws: those of which its moment draws one."""
_OF_A_WAY = {kind for drawn, kinds in _WAYS.items() for kind in kinds if kind is not drawn}
_WEIGHTS = {
    Kind.KILL: 4, Kind.FREEZE: 5, Kind.POWER: 3, Kind.CUT: 3, Kind.POWER_BOTH: 1, Kind.WALL_CLOCK: 1,
    Kind.RESTART_AGENT: 1,
}  # fmt: skip
_LASTING_MS = {
    Kind.KILL: (100, 8000), Kind.CRASH: (500, 12_000), Kind.POWER: (500, 12_000), Kind.POWER_BOTH: (200, 5000),
    Kind.FULL: (1000, 8000), Kind.SLOW: (2000, 10_000), Kind.RESTART_AGENT: (0, 1), Kind.SWAP: (0, 1),
    Kind.STOP: (300, 6000), Kind.WALL_CLOCK: (500, 3000),
}  # fmt: skip


def _how_long_ms(chance: random.Random, kind: Kind, short: bool) -> int:
    if kind in (Kind.ETCD_DEAD, Kind.ETCD_FROZEN) and not short and chance.random() < 0.1:
        return _OUTLIVED_MS
    shortest_ms, longest_ms = _LASTING_MS.get(kind, (200, 15_000))
    # Short ones are as likely as those past a lease, and past a peer's timeout.
    return chance.choice(
        (chance.randrange(shortest_ms, min(longest_ms, 3000)), chance.randrange(shortest_ms, longest_ms))
    )


def _of_a_part(chance: random.Random, fault: Fault, _: tuple[str, ...]) -> Fault:
    part = chance.choice(("agent", "replicator", "replicator", "application", "etcd"))
    return dataclasses.replace(fault, part=part, nodes=() if part == "application" else fault.nodes)


def _frozen(chance: random.Random, fault: Fault, nodes: tuple[str, ...]) -> Fault:
    return fault if chance.random() < 0.4 else _of_a_part(chance, fault, nodes)


def _cut(chance: random.Random, fault: Fault, nodes: tuple[str, ...]) -> Fault:
    return _both(chance, fault, nodes) if chance.random() < 0.6 else fault


def _etcd(chance: random.Random, fault: Fault, _: tuple[str, ...]) -> Fault:
    members = chance.sample(("a", "b", "witness"), chance.choice((1, 2, 3, 3)))
    return dataclasses.replace(fault, nodes=tuple(sorted(members)))


def _slow(chance: random.Random, fault: Fault, _: tuple[str, ...]) -> Fault:
    return dataclasses.replace(fault, amount=chance.choice(("500kbit", "2mbit", "10mbit")))


def _both(chance: random.Random, fault: Fault, nodes: tuple[str, ...]) -> Fault:
    """Another one with it."""
    others = [node for node in nodes if node not in fault.nodes]
    other = others[0] if len(others) == 1 else chance.choice(others)
    return dataclasses.replace(fault, nodes=(*fault.nodes, other))


def _one_or_both(chance: random.Random, fault: Fault, nodes: tuple[str, ...]) -> Fault:
    return fault if chance.random() < 0.5 else dataclasses.replace(fault, nodes=nodes[:2])


def _of_the_serving(_: random.Random, fault: Fault, __: tuple[str, ...]) -> Fault:
    return dataclasses.replace(fault, nodes=())


def _jump(chance: random.Random, fault: Fault, _: tuple[str, ...]) -> Fault:
    return dataclasses.replace(fault, nodes=(), amount=str(chance.choice((-1, 1)) * chance.randrange(200, 2000)))


_MAKERS: dict[Kind, Callable[[random.Random, Fault, tuple[str, ...]], Fault]] = {
    Kind.KILL: _of_a_part, Kind.FREEZE: _frozen, Kind.CUT: _cut, Kind.CUT_ONE_WAY: _cut, Kind.ETCD_DEAD: _etcd,
    Kind.ETCD_FROZEN: _etcd, Kind.SLOW: _slow, Kind.POWER_BOTH: _both, Kind.STOP: _one_or_both, Kind.WALL_CLOCK: _jump,
    Kind.SWAP: _of_the_serving,
}  # fmt: skip
