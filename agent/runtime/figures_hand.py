"""Counts what this node has of a farm's traffic, tells the others, and keeps what they tell: for people.

What of it is how old, each answer says; nothing is decided by it, and what is lost on the way comes again.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from agent.adapters import connections, nft
from agent.adapters.deadlines import within
from agent.adapters.host import now_ns
from agent.adapters.nft import Counted
from agent.adapters.probe_messages import Module
from agent.adapters.probing import Probing
from agent.core.farm.nft_ways import counter_name
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.config.farm_config import FarmConfig, Protocol
from manager.model.errors import DefiniteFailure, MirrorfarmError
from manager.model.farm_figures import Flow, NodeFigures

EVERY_S = 5.0
"""Counters are read so often: a run of nft, of a few milliseconds."""
REST = 50
"""Connections are counted again after so many times what it took: of 100,000 it takes half a second of a processor."""
LOOK_S = 5.0
_LOOK = "figures"
_MS_NS = 1_000_000
_NETDEV = ("netdev",)
"""Where all packets are counted that are handed on: those of a member's own are not seen here."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at one instant."""

    at_ns: int
    counters: Mapping[str, Counted]


class FiguresHand:
    """One module's."""

    def __init__(
        self,
        config: FarmConfig,
        node: str,
        module: Module,
        probing: Probing,
        endpoints: Callable[[], Iterable[str]],
        on_fatal: OnFatal,
    ) -> None:
        """``endpoints``: where the module's other nodes are to be found now."""
        self._config = config
        self._node = node
        self._module = module
        self._probing = probing
        self._endpoints = endpoints
        self._tasks = Tasks(on_fatal)
        self._wanted = False
        self._last: Sample | None = None
        self._connections: dict[str, int] | None = None
        self._counted_ns = 0
        self._count_after_ns = 0
        self._heard: dict[str, tuple[int, NodeFigures]] = {}
        """Node to when it has told what."""
        self._troubled = ""
        self._log = structlog.get_logger().bind(module=config.name)
        probing.listen(module, self.told)

    def begin(self) -> None:
        """Count, as long as there are rules by which anything is shared."""
        self._wanted = True
        if not self._tasks.running(_LOOK):
            self._tasks.start(_LOOK, self._follow())

    def end(self) -> None:
        """There are none any more, nor anything to count."""
        self._wanted = False
        self._last = self._connections = None
        self._heard.pop(self._node, None)

    async def close(self) -> None:
        """Count no more."""
        await self._tasks.cancel()

    def told(self, node: str, figures: NodeFigures) -> None:
        """Another node has told what it has counted."""
        if node in self._config.nodes and node != self._node:
            self._heard[node] = (now_ns(), figures)

    def known(self) -> Mapping[str, NodeFigures]:
        """By node, with how old it is now."""
        now = now_ns()
        return {
            node: dataclasses.replace(figures, age_ms=figures.age_ms + (now - at_ns) // _MS_NS)
            for node, (at_ns, figures) in self._heard.items()
        }

    async def _follow(self) -> None:
        while self._wanted:
            figures = await self._count()
            if self._wanted:
                self._heard[self._node] = (now_ns(), figures)
                self._probing.tell(self._module, self._endpoints(), figures)
            await asyncio.sleep(EVERY_S)

    async def _count(self) -> NodeFigures:
        flows: dict[str, dict[str, Flow]] | None = None
        try:
            counters = await nft.counters(self._config.name, _NETDEV)
            sample = Sample(now_ns(), counters)
            flows, self._last = flows_of(self._config, self._last, sample), sample
            if now_ns() >= self._count_after_ns:
                await self._count_connections()
        except MirrorfarmError as failure:
            self._trouble(str(failure))
        else:
            self._troubled = ""
        age_ms = (now_ns() - self._counted_ns) // _MS_NS if self._connections is not None else 0
        return NodeFigures(self._connections, flows, age_ms)

    async def _count_connections(self) -> None:
        self._connections = None
        self._counted_ns = now_ns()
        try:
            self._connections = await open_connections(self._config)
        finally:
            # Also after one that took too long: its thread goes on for a while.
            self._count_after_ns = now_ns() + REST * (now_ns() - self._counted_ns)

    def _trouble(self, words: str) -> None:
        """Told once, not each time."""
        if words != self._troubled:
            self._troubled = words
            self._log.warning("figures.uncounted", error=words)


def flows_of(config: FarmConfig, last: Sample | None, sample: Sample) -> dict[str, dict[str, Flow]]:
    """What went where, by address and node; of nothing there is no entry."""
    flows: dict[str, dict[str, Flow]] = {}
    for address in (a.ip for a in config.addresses):
        for node in config.nodes:
            name = counter_name(node, address)
            counted = sample.counters.get(name)
            if counted is not None and counted.packets:
                flows.setdefault(address, {})[node] = _flow(name, counted, last, sample.at_ns)
    return flows


def _flow(name: str, counted: Counted, last: Sample | None, at_ns: int) -> Flow:
    former = Counted(0, 0) if last is None else last.counters.get(name, Counted(0, 0))
    if last is None or at_ns <= last.at_ns or former.packets > counted.packets:
        return Flow(counted.packets, counted.bytes, None, None)
    span_ns = at_ns - last.at_ns

    def in_a_second(count: int) -> int:
        return round(count * 1_000_000_000 / span_ns)

    return Flow(
        counted.packets, counted.bytes, in_a_second(counted.packets - former.packets),
        in_a_second(counted.bytes - former.bytes),
    )  # fmt: skip


async def open_connections(config: FarmConfig) -> dict[str, int]:
    """Address to this node's TCP connections there, at ports that are shared; looked for in a thread.

    Raises:
        DefiniteFailure: the kernel does not list them.
        IndefiniteFailure: it took too long.
    """
    what = f"counting the connections of {config.name}"
    try:
        return await within(LOOK_S, what, asyncio.to_thread(_open_connections, config))
    except OSError as error:
        raise DefiniteFailure(f"{what}: {error}") from None


def _open_connections(config: FarmConfig) -> dict[str, int]:
    found = {}
    for address in (a.ip for a in config.addresses):
        rules = [r for r in config.rules if r.protocol is Protocol.TCP and r.covers(address)]
        ports = [connection.ports[0] for connection in connections.listed(ip_address(address))] if rules else []
        found[address] = sum(any(r.first_port <= port <= r.last_port for r in rules) for port in ports)
    return found
