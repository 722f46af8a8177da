"""How soon a simulated farm does what it must, where nothing is wrong but that machines are off, or deaf, or that etcd
does not answer."""

from typing import TYPE_CHECKING

from manager.model.farm import SLOTS
from tests.simulation.checkers import Violation
from tests.simulation.clockwork import SECOND_NS

if TYPE_CHECKING:
    from tests.simulation.farm.world import World

_LIMIT_NS = 5 * SECOND_NS
"""A dead node's share is back in two, and a deaf director is replaced in four; and a little for what else happens."""
_KEPT_NS = 2 * SECOND_NS
_SOME = 31
"""Every so many slots are looked at where all are alike."""


class Promptness:
    """Of one run."""

    def __init__(self, world: "World") -> None:
        """Nothing has happened."""
        self._world, self._clock = world, world.clock
        self._happened_ns = 0
        self._until_ns = 0
        """So long all may take its time."""
        self._good_ns: dict[tuple[str, str], int] = {}
        """What, and of which address, to when it was as it should be last."""
        self._kept_by: dict[str, str] = {}
        """By address, who receives since before etcd fell silent."""

    def happens(self, disturbs_ns: int) -> None:
        """Something does; for so long all may take its time."""
        self._happened_ns = self._clock.now_ns
        self._until_ns = max(self._until_ns, self._clock.now_ns + disturbs_ns)

    def heals(self, disturbs_ns: int) -> None:
        """All links are up: what was to last for ever is over."""
        self._until_ns = 0
        self.happens(disturbs_ns)

    def is_plain_for(self, span_ns: int, least_ns: int) -> bool:
        """``span_ns`` is at least so much, and for the last ``least_ns`` nothing was wrong."""
        now_ns = self._clock.now_ns
        since_ns = max(self._happened_ns, self._until_ns)
        return self._is_plain and span_ns > least_ns and now_ns > since_ns + least_ns and self._clock.etcd.up

    def is_plain_but(self, name: str) -> bool:
        """All other nodes are well."""
        world = self._world
        others = [n for n in world.config.nodes if n != name]
        return self._is_plain and self._clock.etcd.up and not any(n in world.doubted for n in others)

    @property
    def _is_plain(self) -> bool:
        """Every machine that is on has its agent, and whoever is cut off from anything hears nobody."""
        world = self._world
        cuts = world.network.cuts
        agents = [machine.agent for machine in world.machines.values() if machine.is_on]
        return (
            not any(machine.down for machine in world.machines.values())
            and all(agent is not None and not agent.actor.frozen for agent in agents)
            and all(world.is_deaf(one) or world.is_deaf(other) for one, other in cuts)
        )

    def beat(self) -> None:
        """From time to time."""
        is_judged = self._is_plain and self._clock.now_ns >= self._until_ns
        for address in self._world.addresses:
            good = {
                "no director": self._is_directed(address),
                "not served": self._is_served(address),
                "not kept": self._is_kept(address),
            }
            for what, is_good in good.items():
                self._judge(what, address, is_good=is_good or not is_judged)

    def _judge(self, what: str, address: str, *, is_good: bool) -> None:
        now_ns = self._clock.now_ns
        good_ns = self._good_ns.setdefault((what, address), now_ns)
        if is_good:
            self._good_ns[what, address] = now_ns
            return
        limit_ns = _KEPT_NS if what == "not kept" else _LIMIT_NS
        if now_ns > max(good_ns, self._happened_ns) + limit_ns:
            raise Violation(f"{what}: {address}: for {(now_ns - good_ns) / SECOND_NS:.1f} s")

    def _fit(self, address: str) -> list[str]:
        world = self._world
        return [n for n in world.config.nodes if world.is_fit(n) and not world.is_deaf(n)]

    def _is_directed(self, address: str) -> bool:
        """Clients reach one that answers for it; or nobody could, or etcd has to be there first."""
        world = self._world
        reached = any(not world.is_deaf(holder) for holder in world.holders(address))
        return reached or not self._clock.etcd.up or not self._fit(address)

    def _is_served(self, address: str) -> bool:
        """Whatever begins goes to a node that takes it, if there is one."""
        world = self._world
        holders = world.holders(address)
        if len(holders) != 1 or world.is_deaf(holders[0]) or not self._clock.etcd.up:
            return True
        if not any(world.serves_by_weight(name) for name in self._fit(address)):
            return True
        kernel = world.machines[holders[0]].kernel
        for slot in range(0, SLOTS, _SOME):
            ways = kernel.ways(address, slot, begins=True)
            if not ways or not all(self._takes(way) for way in ways):
                return False
        return True

    def _takes(self, name: str) -> bool:
        machine = self._world.machines[name]
        return machine.is_on and machine.kernel.application and not self._world.is_deaf(name)

    def _is_kept(self, address: str) -> bool:
        """Without etcd its director goes on receiving for it."""
        world = self._world
        holders = world.holders(address)
        if self._clock.etcd.up:
            self._kept_by.pop(address, None)
            if len(holders) == 1:
                self._kept_by[address] = holders[0]
            return True
        by = self._kept_by.get(address, "")
        if not by or not world.is_fit(by) or world.network.cuts or not world.wants(by):
            self._kept_by.pop(address, None)
            return True
        return by in holders
