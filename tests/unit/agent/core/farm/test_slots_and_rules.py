"""Tables and rules together: connections on living nodes are never cut off, whatever moves and whoever lags behind.

Each node's kernel has some table that there was, not always the last one; clients send to any node, as they do that
still have a former director's MAC; what the director hears of a node is old. The rules are those of
``agent.core.farm.ruleset``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from agent.core.farm.hashing import slot_of
from agent.core.farm.ruleset import Here, Port, Ruleset, ruleset
from agent.core.farm.slots import advance
from manager.model.config.farm_config import Affinity, Protocol, RuleConfig
from manager.model.farm import SlotTable
from tests.support.packets import Packet, deliver
from tests.support.slot_tables import Farm

NODES = ("a", "b", "c")
MACS = {node: f"02:00:00:00:00:0{place}" for place, node in enumerate(NODES, 1)}
ADDRESS, SEED = "10.99.0.100", 77
CLIENTS = tuple(f"192.0.2.{number}" for number in range(1, 13))
RULES = (RuleConfig(Protocol.TCP, 80, 80),)


@lru_cache(maxsize=64)
def rules_at(node: str, table: SlotTable) -> Ruleset:
    return ruleset(
        Here("web", node, SEED, RULES, {ADDRESS: Port("eth0", MACS[node])}), {ADDRESS: table}, {ADDRESS: MACS}
    )


@dataclass(frozen=True)
class Connection:
    """Of a client, by its port."""

    client: str
    port: int

    def packet(self, begins: bool = False) -> Packet:
        """One of its segments."""
        return Packet(self.client, self.port, ADDRESS, 80, begins=begins)

    @property
    def slot(self) -> int:
        """Where it falls into."""
        return slot_of(self.client, self.port, Affinity.CLIENT, SEED)


@dataclass
class World:
    """Three nodes, of which some live, and their connections."""

    farm: Farm = field(default_factory=lambda: Farm(nodes=NODES))
    tables: list[SlotTable] = field(default_factory=list)
    """All that there were."""
    loaded: dict[str, int] = field(default_factory=dict)
    """By living node, the place in ``tables``."""
    counted: dict[str, frozenset[int] | None] = field(default_factory=dict)
    """By living node, the slots in which it had connections when it counted; ``None``: not since it loaded."""
    heard: dict[str, tuple[int, frozenset[int] | None]] = field(default_factory=dict)
    """What the director knows of both."""
    director: str = ""
    homes: dict[Connection, str] = field(default_factory=dict)
    ports: int = 1024

    def happen(self, what: tuple[str, str, int]) -> None:
        """One thing; which one is its first word, to whom and how much the others."""
        word, node, number = what
        if word == "join" or (node in self.farm.living and self.tables):
            getattr(self, word)(node, number)

    def join(self, node: str, _: int) -> None:
        """A node is ready when it has loaded the table that there is."""
        self.farm.living.add(node)
        self.decide()
        self.load(node, 0)

    def die(self, node: str, _: int) -> None:
        """And with it its connections."""
        self.farm.living.discard(node)
        for known in (self.loaded, self.counted, self.heard):
            known.pop(node, None)
        self.homes = {connection: home for connection, home in self.homes.items() if home != node}

    def weigh(self, node: str, number: int) -> None:
        """An operator drains it, or gives it something."""
        self.farm.weights[node] = number % 3
        self.decide()

    def load(self, node: str, number: int) -> None:
        """The last table, or one that is ``number`` older, if the node had no newer one."""
        place = max(self.loaded.get(node, 0), len(self.tables) - 1 - number)
        if self.loaded.get(node) != place:
            self.loaded[node], self.counted[node] = place, None

    def count(self, node: str, _: int) -> None:
        """It looks which of its slots have connections."""
        self.counted[node] = frozenset(c.slot for c, home in self.homes.items() if home == node)

    def tell(self, node: str, _: int) -> None:
        """The director hears of it."""
        self.heard[node] = self.tables[self.loaded[node]].number, self.counted[node]

    def decide(self, *_: object) -> None:
        """The director makes what follows; a new one knows nothing of the others yet."""
        if self.director not in self.farm.living:
            self.director = min(self.farm.living)
            self.heard.clear()
        table = self.farm.following(self.farm.table)
        numbers = {node: number for node, (number, _) in self.heard.items()}
        busy = {node: slots for node, (_, slots) in self.heard.items() if slots is not None}
        self.farm.table = advance(table, self.director, self.farm.living, numbers, busy)
        if not self.tables or self.farm.table is not self.tables[-1]:
            self.tables.append(self.farm.table)

    def go_on(self, _node: str, number: int) -> None:
        """All that could be done is done, so many times."""
        for _ in range(number + 1):
            for node in sorted(self.farm.living):
                self.load(node, 0)
                self.count(node, 0)
                self.tell(node, 0)
            self.decide()

    def open(self, node: str, number: int) -> None:
        """A client begins a connection; ``node`` is where it sends to."""
        self.ports += 1
        connection = Connection(CLIENTS[number % len(CLIENTS)], self.ports)
        takers = deliver(self.rules, set(), connection.packet(begins=True), node).takers
        assert len(takers) <= 1
        if self.farm.table.switched:
            assert takers != (self.farm.table.leaver(connection.slot),), "nothing begins there any more"
        if takers:
            self.homes[connection] = takers[0]

    def close(self, _: str, number: int) -> None:
        """One ends."""
        if self.homes:
            del self.homes[sorted(self.homes, key=lambda c: c.port)[number % len(self.homes)]]

    @property
    def rules(self) -> Mapping[str, Ruleset]:
        """Of the living."""
        return {node: rules_at(node, self.tables[place]) for node, place in self.loaded.items()}

    def check(self) -> None:
        """No connection of a living node is answered by another one; all reach theirs by the last table."""
        for connection, home in self.homes.items():
            for enters in self.loaded:
                takers = deliver(self.rules, {home}, connection.packet(), enters).takers
                assert set(takers) <= {home}, (connection, home, enters, takers)
                if set(self.loaded.values()) == {len(self.tables) - 1}:
                    assert takers == (home,), (connection, home, enters)


NODE, NUMBER = st.sampled_from(NODES), st.integers(0, 11)
STORY = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("join", "die", "weigh", "open", "open", "open", "close", "decide")), NODE, NUMBER),
        st.tuples(st.sampled_from(("load", "load", "count", "tell", "go_on")), NODE, st.integers(0, 2)),
    ),
    max_size=40,
)


@given(STORY)
def test_no_connection_on_a_living_node_is_cut_off(story: list[tuple[str, str, int]]) -> None:
    world = World()
    for node in NODES[:2]:
        world.join(node, 0)
    world.go_on("", 5)
    for what in story:
        world.happen(what)
        world.check()


def test_a_connection_that_began_after_the_count_keeps_its_slot() -> None:
    """The former owner has loaded and counted; the director, which lags behind, still sends to it what begins."""
    world = World()
    world.join("a", 0)
    world.join("b", 0)
    world.go_on("", 5)
    world.join("c", 0)
    world.go_on("", 0)
    assert world.director == "a"
    for node in ("b", "c"):
        world.load(node, 0)
        world.count(node, 0)
        world.tell(node, 0)
    for number in range(len(CLIENTS)):
        world.open("a", number)
    assert any(world.farm.table.leaver(c.slot) == home == "b" for c, home in world.homes.items())
    world.load("a", 0)
    world.count("a", 0)
    world.tell("a", 0)
    world.decide()
    for node in NODES:
        world.load(node, 0)
    world.check()
    world.go_on("", 5)
    world.check()
