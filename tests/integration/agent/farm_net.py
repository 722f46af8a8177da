"""A farm in network namespaces: a switch, three nodes that hold its addresses, and a client with many of its own.

Another client, with as many, is far away: behind a router, and a link that takes less than what it says it could.
"""

import asyncio
import contextlib
import os
import selectors
import socket
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agent.adapters import nft
from agent.core.farm.nft_lasting import preparing
from agent.core.farm.nftables import loading
from agent.core.farm.ruleset import Here, Port, Ruleset, ruleset
from manager.model.config.farm_config import Affinity, Protocol, RuleConfig
from manager.model.farm import NOBODY, SLOTS, SlotTable
from tests.support.inside import inside

T = TypeVar("T")
NODES = ("a", "b", "c")
FOUR, SIX = "10.99.0.100", "fd99::100"
LINK, SEED = "eth0", 77
TCP_PORT, EACH_PORT, UDP_PORT, EACH_UDP_PORT, OTHER_UDP_PORT = 80, 81, 53, 54, 55
NARROW = 1300
"""The MTU behind the router."""
RULES = (
    RuleConfig(Protocol.TCP, TCP_PORT, TCP_PORT),
    RuleConfig(Protocol.TCP, EACH_PORT, EACH_PORT, Affinity.CONNECTION),
    RuleConfig(Protocol.UDP, UDP_PORT, UDP_PORT),
)
"""UDP's are by client alone, TCP's are not."""
MIXED_RULES = (*RULES, RuleConfig(Protocol.UDP, EACH_UDP_PORT, EACH_UDP_PORT, Affinity.CONNECTION))
MACS = {node: f"02:00:00:00:00:0{place}" for place, node in enumerate(NODES, 1)}
CLIENTS = tuple(f"10.99.0.{end}" for end in range(10, 60)), tuple(f"fd99::1:{end}" for end in range(10, 60))
FAR_CLIENTS = tuple(f"10.98.0.{end}" for end in range(10, 60)), tuple(f"fd98::1:{end}" for end in range(10, 60))
_OTHERS = {"client": "02:00:00:00:00:99", "router": "02:00:00:00:00:98"}
_RECEIVE_BUFFER_FORCED = 33
"""SO_RCVBUFFORCE, socket(7)."""


def table(phase: str, owner: str, other: str = "", number: int = 1) -> SlotTable:
    """All slots in the same phase; ``other``: who comes, or leaves."""

    def filled(node: str) -> str:
        return (str(NODES.index(node)) if node else NOBODY) * SLOTS

    coming, leaving = (other if phase == "coming" else "", other if phase == "leaving" else "")
    return SlotTable(number, NODES, filled(owner), filled(coming), filled(leaving))


def rules_at(
    node: str, of: SlotTable, rules: Sequence[RuleConfig] = RULES, linked: tuple[str, ...] = (FOUR, SIX)
) -> Ruleset:
    """Both addresses by the same table; ``linked``: those that have a link on the node."""
    ports = dict.fromkeys(linked, Port(LINK, MACS[node]))
    return ruleset(Here("web", node, SEED, rules, ports), {FOUR: of, SIX: of}, {FOUR: MACS, SIX: MACS})


class FarmNet:
    """The namespaces; all that is made in them goes with them."""

    def __init__(self) -> None:
        self._prefix = f"mf-farm-{os.getpid()}-"
        self.rules: Sequence[RuleConfig] = RULES

    def name(self, who: str) -> str:
        """Of the namespace."""
        return self._prefix + who

    def up(self) -> None:
        """Made, with a cable from each to the switch."""
        for who in ("switch", "far", *_OTHERS, *NODES):
            self._sh("ip", "netns", "add", self.name(who))
        in_switch = ["link add name br0 type bridge mcast_snooping 0", "link set br0 up"]
        for who, mac in (MACS | _OTHERS).items():
            in_switch += [
                f"link add name p-{who} type veth peer name {LINK} address {mac} netns {self.name(who)}",
                f"link set p-{who} master br0 up",
            ]
        self.ip("switch", in_switch)
        for place, node in enumerate(NODES, 1):
            self.inside(node, _answer_only_for_the_link)
            self.ip(node, ["link set lo up", f"link set {LINK} up",
                           f"addr add 10.99.0.{place}/24 dev {LINK}", f"addr add fd99::{place}/64 dev {LINK} nodad",
                           f"addr add {FOUR}/32 dev lo", f"addr add {SIX}/128 dev lo nodad",
                           "route add 10.98.0.0/24 via 10.99.0.254", "route add fd98::/64 via fd99::fe"])  # fmt: skip
        self.ip("client", ["link set lo up", f"link set {LINK} up", *_added(CLIENTS)])
        self._route()

    def _route(self) -> None:
        """The router, and who is behind it."""
        self.inside("router", _forward)
        self.ip("router", [f"link set {LINK} up", f"addr add 10.99.0.254/24 dev {LINK}",
                           f"addr add fd99::fe/64 dev {LINK} nodad",
                           f"link add name far type veth peer name {LINK} netns {self.name('far')}",
                           f"link set far mtu {NARROW} up", "addr add 10.98.0.1/24 dev far",
                           "addr add fd98::1/64 dev far nodad"])  # fmt: skip
        routes = "route add default via 10.98.0.1", "route add default via fd98::1"
        self.ip("far", ["link set lo up", f"link set {LINK} up", *_added(FAR_CLIENTS), *routes])

    def down(self) -> None:
        """Gone."""
        for who in ("switch", "far", *_OTHERS, *NODES):
            with contextlib.suppress(subprocess.CalledProcessError):
                self._sh("ip", "netns", "del", self.name(who))

    def ip(self, who: str, commands: Iterable[str]) -> None:
        """Has ip(8) do all in the namespace."""
        self._sh("ip", "-n", self.name(who), "-b", "-", given="\n".join(commands))

    def directed_by(self, node: str) -> None:
        """The clients send to ``node`` what is for the farm."""
        said = [f"neigh replace {a} lladdr {MACS[node]} nud permanent dev {LINK}" for a in (FOUR, SIX)]
        for who in _OTHERS:
            self.ip(who, said)

    def load(self, node: str, of: SlotTable, linked: tuple[str, ...] = (FOUR, SIX)) -> None:
        """The node's rules by this table, by the adapter."""
        rules = rules_at(node, of, self.rules, linked)

        async def load() -> None:
            await nft.prepare(preparing(rules))
            await nft.load(loading(rules))

        self.run(node, load())

    def everywhere(self, of: SlotTable) -> None:
        """The same table on all nodes, in no order."""
        with ThreadPoolExecutor(len(NODES)) as threads:
            list(threads.map(lambda node: self.load(node, of), NODES))

    def run(self, who: str, work: Coroutine[Any, Any, T]) -> T:
        """``work`` on a loop of its own, in the namespace."""
        return self.inside(who, lambda: asyncio.run(work))

    def inside(self, who: str, work: Callable[[], T]) -> T:
        """What ``work`` returns, called by a thread that is in the namespace."""
        return inside(self.name(who), work)

    def socket(self, who: str, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        """One of the namespace's, bound."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def made() -> socket.socket:
            end = socket.socket(family, kind)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            end.bind((address, port))
            return end

        return self.inside(who, made)

    def _sh(self, *argv: str, given: str = "") -> None:
        subprocess.run(argv, check=True, capture_output=True, timeout=10, input=given.encode())


def _added(addresses: tuple[tuple[str, ...], tuple[str, ...]]) -> list[str]:
    four, six = addresses
    return [f"addr add {a}/24 dev {LINK}" for a in four] + [f"addr add {a}/64 dev {LINK} nodad" for a in six]


def _answer_only_for_the_link() -> None:
    set_kernel("ipv4/conf/all/arp_ignore", "1")
    set_kernel("ipv4/conf/all/arp_announce", "2")


def _forward() -> None:
    set_kernel("ipv4/ip_forward", "1")
    set_kernel("ipv6/conf/all/forwarding", "1")


def set_kernel(name: str, value: str) -> None:
    """Of the network namespace that the caller is in."""
    with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
        file.write(value)


class Servers:
    """On each node, on both addresses: whatever comes is answered with the node's name, ``!N`` with N bytes of it.

    Datagrams are noted, and those of the second kind alone are answered.
    """

    def __init__(self, net: FarmNet) -> None:
        self._events = selectors.DefaultSelector()
        self._open: set[socket.socket] = set()
        self.datagrams: dict[bytes, list[str]] = {}
        """By what was in them, the nodes that got them."""
        for node in NODES:
            for address in (FOUR, SIX):
                for port in (TCP_PORT, EACH_PORT):
                    listening = net.socket(node, address, port, socket.SOCK_STREAM)
                    listening.listen(128)
                    self._add(listening, node, self._accept)
                for port in (UDP_PORT, EACH_UDP_PORT, OTHER_UDP_PORT):
                    receiving = net.socket(node, address, port, socket.SOCK_DGRAM)
                    receiving.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCED, 1 << 24)
                    self._add(receiving, node, self._receive)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """All sockets."""
        self._ended.set()
        self._thread.join()
        self._events.close()
        for end in self._open:
            end.close()

    def accepted(self, node: str) -> list[socket.socket]:
        """The connections that are open there."""
        keys = list(self._events.get_map().values())
        return [key.fileobj for key in keys if key.data == (node, self._answer)]  # type: ignore[misc]

    def _add(self, end: socket.socket, node: str, ready: Callable[[socket.socket, str], None]) -> None:
        end.setblocking(False)
        self._open.add(end)
        self._events.register(end, selectors.EVENT_READ, (node, ready))

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._events.select(0.05):
                node, ready = key.data
                ready(key.fileobj, node)

    def _accept(self, listening: socket.socket, node: str) -> None:
        with contextlib.suppress(BlockingIOError):
            self._add(listening.accept()[0], node, self._answer)

    def _answer(self, end: socket.socket, node: str) -> None:
        try:
            if asked := end.recv(4096):
                end.send(_answer(node, asked))
                return
        except OSError:
            pass  # Reset: it is closed as one that has ended is.
        self._events.unregister(end)
        self._open.discard(end)
        end.close()

    def _receive(self, end: socket.socket, node: str) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                asked, peer = end.recvfrom(4096)
                self.datagrams.setdefault(asked, []).append(node)
                if asked.startswith(b"!"):
                    end.sendto(_answer(node, asked), peer)


def _answer(node: str, asked: bytes) -> bytes:
    return node.encode() * (int(asked[1:]) if asked.startswith(b"!") else 1)
