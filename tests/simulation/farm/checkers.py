"""What must hold in a simulated farm whatever happens; how soon what must happen does is ``promptness``' business."""

from typing import TYPE_CHECKING

from agent.core.state import App
from manager.model.codec import decode
from manager.model.farm import SLOTS, DirectorRecord, SlotsRecord, SlotTable
from tests.simulation.checkers import Violation
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.farm.kernel import Connection
from tests.simulation.farm.node import KEYS
from tests.simulation.farm.promptness import Promptness
from tests.simulation.network import STORE

if TYPE_CHECKING:
    from tests.simulation.farm.world import World

_STALLED_NS = SECOND_NS
_UNDIRECTED_NS = 15 * SECOND_NS
"""For no longer has an address nobody that answers for it while a node could: a lease and some turns fit in it."""
_DRAINED_NS = 6 * SECOND_NS
"""So long after a node was drained all have loaded that nothing begins there."""
_THERE_NS = 2 * SECOND_NS
"""For so long who is to count as living has reached etcd."""
_HANDSHAKE_NS = 200 * MS_NS
"""For so long a connection begins: a way there and back, and what the application takes to accept it."""
_SOME = 7
"""Every so many slots are looked at where all are alike."""


class Checkers:
    """Of one run."""

    def __init__(self, world: "World") -> None:
        """Nothing was seen yet."""
        self._world, self._clock = world, world.clock
        self.promptness = Promptness(world)
        self.checked = self.writes = 0
        self.tables: dict[str, SlotTable] = {}
        """The last ones that were in the store, by address."""
        self._could_ns: dict[tuple[str, str], int] = {}
        """Node and address to since when it could direct it."""
        self._held_ns: dict[str, int] = {}
        """Address to when somebody answered for it last."""
        self._drained_ns: dict[str, int] = {}
        """Node to since when nothing is to begin there."""
        self._there_ns: dict[str, int] = {}
        """Node to when it was not there, or did not reach etcd, last."""
        self._directors: dict[str, str] = {}
        """By address, whom its key names."""
        world.clock.etcd.subscribe(lambda _: self._changed())

    def beat(self) -> None:
        """From time to time."""
        for address in self._world.addresses:
            self._require_one(address)
        for name in self._world.machines:
            if not self._world.is_fit(name) or not self._world.network.reaches(name, STORE):
                self._there_ns[name] = self._clock.now_ns
        if self._world.is_steady:
            for address in self._world.addresses:
                self._require_director(address)
            self.promptness.beat()
        self._require_traffic()
        self._look_who_is_drained()
        self._require_held()
        self.look()

    # Connections

    def look(self) -> None:
        """After each change of any kernel's rules, too: no connection is broken."""
        for address in self._world.addresses:
            holders = self._world.holders(address)
            if len(holders) == 1:  # Two may cost connections.
                self.check_from(holders[0], address)

    def _require_held(self) -> None:
        """Whoever has connections has the address."""
        for name, machine in self._world.machines.items():
            kernel = machine.kernel
            if not kernel.application or kernel.held:
                continue
            for address, there in kernel.connections.items():
                if any(not connection.doomed for connection in there):
                    raise Violation(f"address dropped: {address}: {name} has connections there")

    def check_from(self, holder: str, address: str) -> None:
        """What clients send to ``holder`` comes where it belongs."""
        machines = self._world.machines
        sender = machines[holder].kernel
        for machine in machines.values():
            for connection in machine.kernel.connections.get(address, ()):
                if connection.doomed or not machine.kernel.application:
                    continue
                self.checked += 1
                ways = sender.ways(address, connection.slot, begins=False)
                self._require_arrival(connection, ways, f"{address}: {holder} sends to {ways}")
                for way in set(ways) - {machine.name}:
                    other = machines[way]
                    if other.is_on and other.kernel.takes(address, connection.slot, known=False):
                        raise Violation(
                            f"reset: {address}: {way} resets what is in slot {connection.slot} at {machine.name}"
                        )

    def _require_arrival(self, connection: Connection, ways: tuple[str, ...], what: str) -> None:
        """Within a short time: a client sends again what is lost."""
        now_ns = self._clock.now_ns
        if connection.node in ways:
            connection.stalled_ns = None
            return
        if connection.stalled_ns is None:
            connection.stalled_ns = now_ns
        elif now_ns > connection.stalled_ns + _STALLED_NS:
            raise Violation(f"lost on the way: {what} what is in slot {connection.slot} at {connection.node}")

    def begins(self, node: str, address: str, slot: int, *, doomed: bool) -> None:
        """A connection does, there; ``doomed``: something happens to a node that has to do with it."""
        table = self.tables.get(address)
        if table is not None and table.switched and table.leaver(slot) == node and not doomed:
            raise Violation(f"begins where it ends: {address}: slot {slot} at {node}, by table {table.number}")
        since_ns = self._drained_ns.get(node)
        if since_ns is not None and self.promptness.is_plain_for(self._clock.now_ns - since_ns, _DRAINED_NS):
            raise Violation(f"drained: {address}: something begins at {node}, which is drained")

    def _look_who_is_drained(self) -> None:
        for name in self._world.config.nodes:
            if self._world.serves_by_weight(name):
                self._drained_ns.pop(name, None)
            else:
                self._drained_ns.setdefault(name, self._clock.now_ns)

    def application_is_to_end(self, name: str) -> None:
        """It accepts nothing more: no client that could have gone to another node is in the middle of its beginning."""
        world = self._world
        if name not in world.parting or not self._others_than(name):
            return
        since_ns = self._clock.now_ns - _HANDSHAKE_NS
        for address, there in world.machines[name].kernel.connections.items():
            if any(one.began_ns > since_ns and not one.doomed for one in there):
                raise Violation(f"reset in its handshake: {address}: {name} ends what began a moment ago")

    def _others_than(self, name: str) -> list[str]:
        world = self._world
        return [n for n in world.config.nodes if n != name and world.is_fit(n) and world.serves_by_weight(n)]

    def application_ends(self, name: str) -> None:
        """As it was to: nobody that begins is shown to its stack any more, if another node could have it."""
        world = self._world
        if not world.is_steady or not self.promptness.is_plain_but(name):
            return
        for address in world.addresses if self._others_than(name) else ():
            for holder in world.holders(address):
                sharing = world.machines[holder].kernel
                if any(name in sharing.ways(address, slot, begins=True) for slot in range(0, SLOTS, _SOME)):
                    raise Violation(f"ended too early: {address}: {holder} sends what begins to {name}")

    # Directors

    def answers(self, name: str, address: str) -> None:
        """It begins to answer for ``address``: no other one does."""
        world = self._world
        if len(world.holders(address)) > 1:
            world.doom(address)
        others = [n for n in world.holders(address) if n != name and not world.excuses.has(n)]
        if others and self._clock.now_ns >= world.doubted_until_ns:
            raise Violation(f"two directors: {address}: {name} answers for it, and {others} as well")
        world.note(f"{name} answers for {address}")

    def _require_one(self, address: str) -> None:
        """Nor does a former one go on answering."""
        world = self._world
        holders = [name for name in world.holders(address) if not world.excuses.has(name)]
        if len(holders) > 1 and self._clock.now_ns >= world.doubted_until_ns:
            raise Violation(f"two directors: {address}: {holders} answer for it")

    def _require_dead(self, address: str, node: str) -> None:
        """Who has had its key taken had not run, and reached etcd, for a while."""
        world, there_ns = self._world, self._there_ns.get(node, 0)
        machine = world.machines[node]
        well = machine.answers(address) and world.is_fit(node) and world.network.reaches(node, STORE)
        if well and self._clock.etcd.up and self._clock.now_ns > max(there_ns, self._clock.etcd.gone_ns) + _THERE_NS:
            raise Violation(f"taken from the living: {address}: {node} directs it, and its key is another's")

    def _directed(self) -> None:
        """Whose the keys are."""
        for address in self._world.addresses:
            kv = self._clock.etcd.get_now(KEYS.director(address))
            node = "" if kv is None else decode(DirectorRecord, kv.value).node
            last, self._directors[address] = self._directors.get(address, ""), node
            if node and last and node != last and not self._clock.now_ns < self._world.doubted_until_ns:
                self._require_dead(address, last)

    def _require_director(self, address: str) -> None:
        """Before long some node answers for it, where clients reach it, if one can."""
        now_ns, could, world = self._clock.now_ns, [], self._world
        for name in world.machines:
            if self._could_direct(name, address):
                could.append(now_ns - self._could_ns.setdefault((name, address), now_ns))
            else:
                self._could_ns.pop((name, address), None)
        held_ns = self._held_ns.setdefault(address, now_ns)
        if any(not world.is_deaf(holder) for holder in world.holders(address)):
            self._held_ns[address] = now_ns
        elif max(could, default=0) > _UNDIRECTED_NS and now_ns > held_ns + _UNDIRECTED_NS:
            raise Violation(f"nobody directs: {address}: nobody answers for it, and one could")

    def _could_direct(self, name: str, address: str) -> bool:
        world = self._world
        reaches = world.network.reaches(name, STORE) and world.clock.etcd.up and not world.is_deaf(name)
        return reaches and world.is_fit(name) and address not in world.machines[name].down

    # Tables

    def _changed(self) -> None:
        """Something has, in etcd."""
        self._stored()
        self._directed()

    def _stored(self) -> None:
        """Each table is the next one, and no more moves than have to."""
        for address in self._world.addresses:
            kv = self._clock.etcd.get_now(KEYS.slots(address))
            if kv is None:
                continue
            table = decode(SlotsRecord, kv.value).table
            last = self.tables.get(address)
            self.tables[address] = table
            if table == last:
                continue
            self.writes += 1
            self._world.note(f"{address} table {table.number}: {dict(table.shares())}")
            if last is not None:
                _require_next(address, last, table)

    # What scripts say

    def _require_traffic(self) -> None:
        """A node goes by what its scripts did last since the application was started, whatever agent it has."""
        for name, machine in self._world.machines.items():
            state = None if machine.agent is None else machine.agent.state
            if state is None or state.app not in (App.STARTING, App.RUNNING) or not state.settings.script_traffic:
                continue
            if state.is_open is not machine.traffic_open:
                raise Violation(f"traffic: {name} takes its own for {'open' if state.is_open else 'closed'}")


def _require_next(address: str, last: SlotTable, table: SlotTable) -> None:
    if table.number <= last.number:
        raise Violation(f"tables: {address}: table {table.number} after {last.number}, of other content")
    if not last.is_settled or table.number > last.number + 1:
        return  # What was on its way may have been turned back.
    before = [last.owner(slot) for slot in range(SLOTS)]
    after = [table.comer(slot) or table.owner(slot) for slot in range(SLOTS)]
    moves = [(was, will) for was, will in zip(before, after, strict=True) if was != will]
    both = {was for was, _ in moves if was} & {will for _, will in moves if will}
    if both:
        raise Violation(f"more moves: {address}: by table {table.number} slots come to {sorted(both)}, and others go")
