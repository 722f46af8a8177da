"""A simulated farm: machines, clients, operators, faults, and the checkers that look on."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from agent.core.farm.slots import Candidate, next_table
from manager.model.codec import decode, encode
from manager.model.config.farm_config import FarmConfig, Protocol, RuleConfig, Traffic
from manager.model.config.module_config import AddressConfig
from manager.model.farm import SLOTS, DirectorRecord, SlotsRecord, SlotTable
from manager.model.records import WEIGHT, DesiredRecord, ModuleConfigRecord, RequestRecord
from manager.model.states import ModuleKind, ModuleState, Readiness, Run
from manager.store.api import Put, Txn
from tests.simulation.checkers import Violation
from tests.simulation.clockwork import MS_NS, SECOND_NS, Clockwork
from tests.simulation.farm.checkers import Checkers
from tests.simulation.farm.excuses import Excuses
from tests.simulation.farm.kernel import Connection
from tests.simulation.farm.node import KEYS, TTL_S, Machine
from tests.simulation.network import CLIENT, STORE, Network

ADDRESSES = ("10.0.0.10", "fd00::10", "10.0.0.11", "fd00::11", "10.0.0.12", "fd00::12")
BOUND_NS = 60 * SECOND_NS
"""After healing a farm is as it should be within this time: every limit of the core fits in it."""
_FOR_EVER_NS = 1 << 60
_AGENT_AWAY_NS = 4 * SECOND_NS
"""For so long at the most when it is started again."""
_NOTICED_NS = 5 * SECOND_NS
"""So long after something ended all others have noticed."""
_QUICK_MS = 1_000
"""A kernel that takes longer for rules may keep slots from being handed on in their time."""
_OPEN = 40
"""Connections to each address."""


class World:
    """One run."""

    def __init__(self, seed: int, nodes: int, addresses: int, *, faults: float, fails: float) -> None:
        """Applied, nothing started. ``faults``: of requests to the store; ``fails``: of work on a node."""
        self.seed, self.faults, self.fails = seed, faults, fails
        self.spread_after_ns = 30 * SECOND_NS
        self.clock = Clockwork(seed)
        self.network = Network(self.clock)
        self.random = self.clock.random
        names = tuple("abcdefgh"[:nodes])
        spare = self.random.random() < 0.3
        self.config = FarmConfig(
            name="web", kind=ModuleKind.FARM, nodes=names,
            addresses=tuple(AddressConfig(ip, 24) for ip in ADDRESSES[:addresses]),
            rules=(RuleConfig(Protocol.TCP, 80, 80),),
            weights={names[0]: self.random.randrange(1, 4)}, chain=(names[:-1], names[-1:]) if spare else (),
            traffic=Traffic.SCRIPT if seed // 6 % 2 else Traffic.READY,
        )  # fmt: skip
        self.log: list[tuple[int, str]] = []
        self.excuses = Excuses(self.clock)
        self.machines = {name: Machine(self, name) for name in names}
        self.is_steady = not faults and not fails
        self.begun = 0
        self.doubted: dict[str, int] = {}
        """Nodes to which something has happened that may cost connections, and until when it lasts at least."""
        self.parting: set[str] = set()
        """Nodes that were told to stop, or to restart, and whose applications run still: what is open there ends with
        these, and not before."""
        self.doubted_until_ns = 0
        """Leases ended before their time, or came back: two may direct until both have heard of it."""
        self._requests = 0
        self.kept_closed: set[str] = set()
        """Nodes whose scripts do not open their traffic again."""
        self._asked: dict[str, str] = {}
        """Requests that are not at their end, and the nodes that are to do them."""
        self.put(KEYS.config, encode(ModuleConfigRecord("module", 1, "", {}, "", "")))
        self.checkers = Checkers(self)
        self._beat()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Without prefix lengths."""
        return tuple(address.ip for address in self.config.addresses)

    def is_deaf(self, name: str) -> bool:
        """Nothing that clients send comes to it."""
        return not self.network.passes(CLIENT, name)

    def is_fit(self, name: str) -> bool:
        """Its application runs, and its agent does, and takes it for ready."""
        agent = self.machines[name].agent
        return agent is not None and not agent.actor.frozen and agent.state.is_ready

    def serves_by_weight(self, name: str) -> bool:
        """What begins may go there, as far as operators and scripts say."""
        weight, machine = self.desired(name).weight, self.machines[name]
        is_open = self.config.traffic is Traffic.READY or machine.traffic_open
        return is_open and (self.config.weight(name) if weight is None else weight) > 0

    def note(self, text: str) -> None:
        """For the story."""
        self.log.append((self.clock.now_ns, text))

    def _beat(self) -> None:
        """Clients come and go."""
        self._trust()
        for address in self.config.addresses:
            self._client(address.ip)
        self.checkers.beat()
        self.clock.after(self.clock.between(20, 120), self._beat)

    # Clients

    def holders(self, address: str) -> list[str]:
        """Who answers the network for ``address``."""
        return [name for name, machine in self.machines.items() if machine.answers(address)]

    def holder(self, address: str) -> str:
        """Who answers the network for ``address``, the first one; empty: nobody."""
        return next(iter(self.holders(address)), "")

    def _client(self, address: str) -> None:
        holder = self.holder(address)
        for machine in self.machines.values():
            there = machine.kernel.connections.setdefault(address, [])
            if there and self.random.random() < 0.2:
                there.pop(self.random.randrange(len(there)))
        if not holder or sum(len(m.kernel.connections[address]) for m in self.machines.values()) >= _OPEN:
            return
        slot, two = self.random.randrange(SLOTS), len(self.holders(address)) > 1
        for way in self.machines[holder].kernel.ways(address, slot, begins=True):
            machine = self.machines[way]
            reached = address not in machine.down and self._passes(holder, way)
            if machine.is_on and machine.kernel.application and reached:
                doomed = two or way in self.doubted or holder in self.doubted
                machine.kernel.connections[address].append(Connection(slot, way, doomed, self.clock.now_ns))
                self.begun += 1
                self.checkers.begins(way, address, slot, doomed=doomed)

    def _passes(self, one: str, other: str) -> bool:
        return one == other or self.network.passes(one, other)

    def doubt(self, *names: str, for_ns: int = 0) -> None:
        """Something happens to these nodes, and lasts for so long: their connections may break."""
        for name in names:
            self.doubted[name] = max(self.doubted.get(name, 0), self.clock.now_ns + for_ns + _NOTICED_NS)
            for there in self.machines[name].kernel.connections.values():
                for connection in there:
                    connection.doomed = True
        # Whom it takes to have slots handed on may be among them.
        parting, self.parting = sorted(self.parting.difference(names)), set()
        if parting:
            self.doubt(*parting)

    def part(self, *names: str) -> None:
        """They are stopped or restarted as planned; nothing is to break by that, if nothing else happens."""
        for name in names:
            if self._is_plain_but(name) and name not in self.doubted:
                self.parting.add(name)
            else:
                self.doubt(name)

    def _is_plain_but(self, name: str) -> bool:
        """Nothing keeps its slots from being handed on step by step, in their time."""
        is_quick = all(machine.load_ms[1] <= _QUICK_MS for machine in self.machines.values())
        return self.is_steady and is_quick and self.checkers.promptness.is_plain_but(name)

    def doom(self, address: str) -> None:
        """What is open there may break."""
        for machine in self.machines.values():
            for connection in machine.kernel.connections.get(address, ()):
                connection.doomed = True

    def doubt_leases(self) -> None:
        """They ended before their time, or some that had ended are there again."""
        self.doubted_until_ns = self.clock.now_ns + 2 * TTL_S * SECOND_NS
        self.checkers.tables.clear()

    def _trust(self) -> None:
        """What begins at a node from now on stays, if all is well there again."""
        for name, until_ns in list(self.doubted.items()):
            agent = self.machines[name].agent
            sound = agent is not None and agent.state.is_ready and not agent.actor.frozen
            awaits = not self.wants(name) or name in self._asked.values()  # It may not have heard of it yet.
            if self.clock.now_ns >= until_ns and sound and not awaits and not self.machines[name].down:
                del self.doubted[name]
        for name in sorted(self.parting):
            if not self._is_plain_but(name):
                self.doubt(name)

    def application_ended(self, name: str) -> None:
        """With its connections."""
        self.machines[name].kernel.connections.clear()
        if name in self.parting:  # What comes next is as little to be foreseen as after any other end.
            self.doubt(name)

    # Operators

    def put(self, key: str, value: str) -> None:
        """Into the store, at once."""
        self.clock.etcd.commit_now(Txn(then=(Put(key, value),)))

    def desired(self, name: str) -> DesiredRecord:
        """What the operator wants of ``name``."""
        kv = self.clock.etcd.get_now(KEYS.desired(name))
        return DesiredRecord(Run.STOPPED) if kv is None else _decoded(kv.value)

    def want(self, run: Run, *names: str) -> None:
        """``mirrorfarm start`` or ``stop``."""
        for name in names or self.config.nodes:
            self.note(f"{run} {name}")
            self.put(KEYS.desired(name), encode(replace(self.desired(name), run=run)))

    def weigh(self, name: str, weight: int) -> None:
        """``mirrorfarm farm weight``."""
        self.note(f"weight of {name}: {weight}")
        self.put(KEYS.desired(name), encode(replace(self.desired(name), switches={WEIGHT: str(weight)})))

    def restart(self, name: str) -> None:
        """``mirrorfarm restart``."""
        self._requests += 1
        request = RequestRecord(f"r{self._requests:04}", "restart", name, "", "op")
        self._asked[request.request_id] = name
        self.put(KEYS.request(request.request_id), encode(request))

    def answered(self, name: str, request_id: str, status: str) -> None:
        """``name`` has taken it, or is done with it."""
        self.note(f"{name} answers {request_id}: {status}")
        self.put(KEYS.request(request_id), encode(RequestRecord(request_id, "restart", name, "", "op", status=status)))
        if status != "accepted":
            self._asked.pop(request_id, None)

    def wants(self, name: str) -> bool:
        """Whether the operator wants it to run there."""
        return self.desired(name).run is Run.STARTED

    def switch_traffic(self, name: str, *, is_open: bool) -> None:
        """The scripts of its application."""
        agent = self.machines[name].agent
        if agent is not None and name not in self.kept_closed:
            agent.switch_traffic(is_open=is_open)

    # How it should be at last

    def heal(self) -> None:
        """No more faults; what failed is started again by an operator."""
        self.note("healed")
        self.reach_all()
        self.clock.etcd.come_back(leases=True)
        self.faults = self.fails = 0
        for name, machine in self.machines.items():
            self.raise_links(name)
            if machine.agent is not None:
                machine.agent.link.calm()
                while machine.agent.actor.frozen:
                    self.clock.thaw(machine.agent.actor)
            machine.start()

    def settle(self) -> None:
        """Within the bound all is as it should be.

        Raises:
            Violation: it is not.
        """
        wrong = "?"
        for _ in range(BOUND_NS // (SECOND_NS // 2)):
            self.clock.run_for(SECOND_NS // 2)
            self._repair()
            wrong = self.wrong()
            if not wrong:
                return
        raise Violation(f"not settled: not in {BOUND_NS // SECOND_NS} s: {wrong}")

    def _repair(self) -> None:
        """An operator comes by, where an application has failed; applications look at themselves."""
        for name, machine in self.machines.items():
            if machine.agent is not None and machine.agent.state.app_failed and self.clock.chance(0.2):
                self.restart(name)
            if self.clock.chance(0.2):
                self.switch_traffic(name, is_open=True)

    def wrong(self) -> str:
        """The first thing that is not as it should be; empty: none."""
        looks: tuple[Callable[[], str], ...] = (self._wrong_node, self._wrong_address)
        return next(filter(None, (look() for look in looks)), "")

    def _wrong_node(self) -> str:
        for name, machine in self.machines.items():
            if machine.agent is None:
                return f"{name} has no agent"
            state, kernel = machine.agent.state, machine.kernel
            if not self.wants(name):
                if not state.is_at_rest or state.published is not None:
                    return f"{name} is not at rest"
                if kernel.application or kernel.held or kernel.tables is not None or kernel.link_until_ns:
                    return f"{name} is stopped, and something is left of it"
                continue
            said = state.published
            due = Readiness.TRANSIENT if name in self.kept_closed else Readiness.READY
            if said is None or (said.state, said.readiness) != (ModuleState.UP, due):
                return f"{name} says {said and (said.state, said.readiness, said.reason)}"
            if state.operation is not None:
                return f"{name} has a request that does not end"
        return ""

    def _wrong_address(self) -> str:
        running = [name for name in self.config.nodes if self.wants(name)]
        for address in (a.ip for a in self.config.addresses):
            kv = self.clock.etcd.get_now(KEYS.director(address))
            director = "" if kv is None else decode(DirectorRecord, kv.value).node
            holders = [name for name, machine in self.machines.items() if machine.answers(address)]
            if holders != ([director] if director else []) or bool(director) != bool(running):
                return f"{address}: director {director!r}, answered for by {holders}"
            stored = self.clock.etcd.get_now(KEYS.slots(address))
            if stored is None or not running:
                continue
            table = decode(SlotsRecord, stored.value).table
            wrong = self._wrong_table(table, address, running)
            if wrong:
                return f"{address}: {wrong}"
        return ""

    def _wrong_table(self, table: SlotTable, address: str, running: list[str]) -> str:
        weights = {name: self.desired(name).weight for name in running}
        members = {
            name: Candidate(self.config.weight(name) if weight is None else weight) for name, weight in weights.items()
        } | dict.fromkeys(self.kept_closed.intersection(running), Candidate(0))
        if not table.is_settled and not any(
            m.kernel.connections.get(address) for m in self.machines.values()
        ):  # A drained node may have connections for as long as it likes.
            return f"table {table.number} is not settled"
        if next_table(table, members, self.config.groups, self.config.nodes) is not table:
            return f"table {table.number} is not by the weights: {dict(table.shares())}"
        behind = [n for n in running if self.machines[n].kernel.table(address) != table]
        return f"table {table.number} is not loaded by {behind}" if behind else ""

    # Faults

    def cut_store(self, name: str) -> None:
        """It goes on without etcd."""
        self.note(f"{name} is cut off from the store")
        self.doubt_unready(name)
        self.network.cut(name, STORE)

    def isolate(self, name: str) -> None:
        """From everyone. If it directs, it takes the others for dead; if another one does, that takes it for dead."""
        self.doubt(*self.config.nodes, for_ns=_FOR_EVER_NS)
        self.excuses.give(name, _FOR_EVER_NS)
        self.network.isolate(name, self.config.nodes)

    def cut(self, name: str, other: str, *, one_way: bool) -> None:
        """One does not hear the other."""
        for unseen in (name, other):
            if self.machines[unseen].agent is None:
                self.excuses.give(unseen, _AGENT_AWAY_NS)
        self.note(f"{other} does not hear {name}" + ("" if one_way else ", nor the other way"))
        self.doubt(name, other, for_ns=_FOR_EVER_NS)
        self.network.cut(name, other, one_way=one_way)

    def reach_all(self) -> None:
        """All links are up."""
        self.network.heal()
        self.excuses.end()
        end_ns = self.clock.now_ns + _NOTICED_NS
        self.doubted = {name: min(until_ns, end_ns) for name, until_ns in self.doubted.items()}

    def deafen(self, name: str, *, is_loud: bool) -> None:
        """Nothing comes to it any more; ``is_loud``: what it asks of etcd arrives there."""
        self.note(f"{name} hears nobody" + (", and etcd hears it" if is_loud else ""))
        self.doubt(*self.config.nodes, for_ns=_FOR_EVER_NS)
        self.excuses.give(name, _FOR_EVER_NS)
        for other in (*self.config.nodes, CLIENT, STORE):
            if other != name:
                self.network.cut(other, name, one_way=True)
        if not is_loud:
            self.network.cut(name, STORE)

    def store_back(self, *, leases: bool) -> None:
        """etcd answers again; its leases have their whole time, or are over."""
        etcd = self.clock.etcd
        # Whoever goes on after a lease's time without etcd does so by promises.
        if not leases and self.clock.now_ns < etcd.gone_ns + TTL_S * SECOND_NS:
            self.doubt_leases()
        self.clock.etcd.come_back(leases=leases)

    def start_again(self, name: str, after_ns: int) -> None:
        """Its agent: what is open there stays, if nothing else keeps the new one from taking it over."""
        machine = self.machines[name]
        if machine.agent is None:
            return
        if self.fails or not self.network.reaches(name, STORE) or not self.clock.etcd.up:
            self.doubt(name)
        self.doubt_unready(name)
        if any(name in pair for pair in self.network.cuts):  # That it is away nobody may be told.
            self.excuses.give(name, _AGENT_AWAY_NS)
        if after_ns > _AGENT_AWAY_NS:
            self.doubt(name, for_ns=after_ns)
        self.note(f"{name}'s agent is started again")
        machine.kill_agent()
        self.clock.after(after_ns, machine.start_agent)

    def doubt_unready(self, *names: str) -> None:
        """What a former agent left there may not be taken over in time."""
        for name in names or self.config.nodes:
            agent = self.machines[name].agent
            if agent is None or not agent.state.is_ready:
                self.doubt(name)

    def drop_link(self, name: str, address: str, *, gone: bool) -> None:
        """Of an address: the interface, or its carrier alone; the agent is reached still."""
        self.doubt(name)
        self.note(f"{name} has no {'link' if gone else 'carrier'} for {address}")
        self.machines[name].drop_link(address, gone=gone)

    def raise_links(self, name: str) -> None:
        """All that are down."""
        if self.machines[name].down:
            self.doubt(name)
            self.note(f"{name} has its links again")
            self.machines[name].raise_links()

    def freeze(self, name: str, span_ns: int) -> None:
        """Its agent alone: what the kernel does goes on."""
        agent = self.machines[name].agent
        if agent is None:
            return
        self.note(f"{name}'s agent is frozen for {span_ns // MS_NS} ms")
        left_ns = self.machines[name].clock.truly(agent.deadline_ns - self.machines[name].clock.now_ns)
        if left_ns > 0:  # Its kernel answers until its lease ends, or what was promised; that binds the others.
            self.excuses.freeze(name, min(span_ns, left_ns))
        self.clock.freeze(agent.actor)
        self.clock.after(span_ns, lambda: self.clock.thaw(agent.actor) if agent.actor.frozen else None)


@lru_cache(maxsize=64)
def _decoded(value: str) -> DesiredRecord:
    """It is asked for all the time."""
    return decode(DesiredRecord, value)
