"""What has no ports of its own in the real kernel: fragments, ICMP errors, echo. Clients near and far."""

import contextlib
import ipaddress
import itertools
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from agent.core.farm.hashing import slot_of
from manager.model.config.farm_config import Affinity, RuleConfig
from manager.model.farm import SLOTS
from tests.integration.agent.farm_net import (
    CLIENTS,
    EACH_PORT,
    EACH_UDP_PORT,
    FAR_CLIENTS,
    FOUR,
    LINK,
    MIXED_RULES,
    NARROW,
    NODES,
    OTHER_UDP_PORT,
    RULES,
    SEED,
    SIX,
    TCP_PORT,
    UDP_PORT,
    FarmNet,
    Servers,
    set_kernel,
    table,
)

SPREAD = replace(table("settled", "a"), owners="".join(itertools.islice(itertools.cycle("012"), SLOTS)))
each_address = pytest.mark.parametrize("address", [FOUR, SIX])
each_tcp_port = pytest.mark.parametrize("port", [TCP_PORT, EACH_PORT])
LARGE = 3000
ARRIVED_S = 10.0
"""Within this what was sent is there, on a busy machine too."""


@pytest.fixture(scope="module")
def net() -> Iterator[FarmNet]:
    made = FarmNet()
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(autouse=True)
def with_the_usual_rules(net: FarmNet) -> Iterator[None]:
    yield
    net.rules = RULES


@pytest.fixture
def servers(net: FarmNet) -> Iterator[Servers]:
    made = Servers(net)
    try:
        yield made
    finally:
        made.close()


def owner(source: str, port: int, affinity: Affinity) -> str:
    return SPREAD.owner(slot_of(source, port, affinity, SEED))


def arrived(servers: Servers, sent: Sequence[bytes]) -> list[list[str]]:
    """By what was sent, the nodes that got it; waited for as long as any is missing, for a while."""
    until_s = time.monotonic() + ARRIVED_S
    while time.monotonic() < until_s and any(s not in servers.datagrams for s in sent):
        time.sleep(0.05)
    time.sleep(0.1)
    return [servers.datagrams.get(s, []) for s in sent]


# Fragments


@each_address
@pytest.mark.parametrize("rules", [RULES, MIXED_RULES], ids=["by client", "mixed"])
@pytest.mark.parametrize("director", ["a", "c"])
def test_a_large_datagram_goes_whole_to_where_a_small_one_goes(
    net: FarmNet, servers: Servers, address: str, rules: tuple[RuleConfig, ...], director: str
) -> None:
    net.rules = rules
    net.directed_by(director)
    net.everywhere(SPREAD)
    affinities = {UDP_PORT: Affinity.CLIENT, EACH_UDP_PORT: Affinity.CONNECTION}
    sent, expected = [], []
    for number, source in enumerate(CLIENTS[":" in address][:20]):
        with net.socket("client", source, 0, socket.SOCK_DGRAM) as end:
            own_port = end.getsockname()[1]
            for port in (UDP_PORT, EACH_UDP_PORT, OTHER_UDP_PORT):
                shared = any(r.first_port == port for r in rules)
                expected.append([owner(source, own_port, affinities[port]) if shared else director])
                sent.append(f"{number} {port}".encode().ljust(LARGE, b"."))
                end.sendto(sent[-1], (address, port))
    assert arrived(servers, sent) == expected
    assert {taker for (taker,) in expected} == set(NODES)


@pytest.mark.parametrize("director", ["a", "c"])
def test_the_order_of_fragments_is_the_same_to_what_is_by_client(net: FarmNet, servers: Servers, director: str) -> None:
    net.directed_by(director)
    net.everywhere(SPREAD)
    sent, expected = [], []
    for number, source in enumerate(CLIENTS[0][20:30]):
        sent.append(b"reversed %d" % number)
        expected.append([owner(source, 0, Affinity.CLIENT)])
        send_reversed(net, source, 1 + number, sent[-1])
    assert arrived(servers, sent) == expected
    assert len({taker for (taker,) in expected}) > 1


@each_address
def test_no_fragment_goes_astray_while_rules_are_exchanged(net: FarmNet, servers: Servers, address: str) -> None:
    net.rules = MIXED_RULES
    net.directed_by("c")
    net.everywhere(SPREAD)
    sent: list[bytes] = []
    ended = threading.Event()
    sources = CLIENTS[":" in address][:10]
    ends = [net.socket("client", source, 0, socket.SOCK_DGRAM) for source in sources]

    def send() -> None:
        for number in itertools.count():
            sent.append(b"exchanged %d" % number + b"." * LARGE)
            ends[number % len(ends)].sendto(sent[-1], (address, (UDP_PORT, EACH_UDP_PORT)[number % 2]))
            if ended.wait(0.0005):
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for number in range(10):
            net.load("c", replace(SPREAD, number=2 + number))
    finally:
        ended.set()
        sender.join()
        for end in ends:
            end.close()
    assert len(sent) > 100
    assert {len(takers) for takers in arrived(servers, sent)} == {1}


def send_reversed(net: FarmNet, source: str, number: int, data: bytes) -> None:
    """As two fragments, the last one first."""
    datagram = struct.pack("!4H", 40000, UDP_PORT, 8 + len(data), 0) + data
    with net.inside("client", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as raw:
        for begins, more in ((8, 0), (0, 0x2000)):
            part = datagram[begins:] if not more else datagram[:8]
            header = struct.pack("!2B3H2BH", 0x45, 0, 20 + len(part), number, more | begins // 8, 64, 17, 0)
            addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(FOUR).packed
            raw.sendto(header + addresses + part, (FOUR, 0))


@contextlib.contextmanager
def segments_in_fragments(net: FarmNet) -> Iterator[None]:
    """What comes from far away is allowed to be made smaller, and is."""
    net.ip("router", [f"link set {LINK} mtu {NARROW}"])
    net.inside("far", lambda: set_kernel("ipv4/ip_no_pmtu_disc", "1"))
    try:
        yield
    finally:
        net.inside("far", lambda: set_kernel("ipv4/ip_no_pmtu_disc", "0"))
        net.ip("router", [f"link set {LINK} mtu 1500"])


@each_tcp_port
def test_segments_in_fragments_reach_their_connection_also_while_its_slot_moves(
    net: FarmNet, servers: Servers, port: int
) -> None:
    net.directed_by("c")
    net.everywhere(table("settled", "b"))
    before = reassembled(net, "b")
    with segments_in_fragments(net), contextlib.ExitStack() as ends:
        far = [ends.enter_context(connected(net, source, FOUR, port)) for source in FAR_CLIENTS[0][:5]]
        for of in (table("settled", "b"), table("coming", "b", "a"), table("leaving", "a", "b")):
            net.everywhere(of)
            for end in far:
                end.sendall(b"?" * LARGE)
                assert end.recv(1) == b"b"
                drain(end)
        assert reassembled(net, "b") > before
        with connected(net, FAR_CLIENTS[0][0], FOUR, port) as begun:
            begun.sendall(b"?" * LARGE)
            assert begun.recv(1) == b"a"


def reassembled(net: FarmNet, node: str) -> int:
    """How many packets of fragments the node has put together."""
    with open_in(net, node, "/proc/net/snmp") as lines:
        names, values = (line.split() for line in lines if line.startswith("Ip:"))
    return int(values[names.index("ReasmOKs")])


@contextlib.contextmanager
def open_in(net: FarmNet, who: str, path: str) -> Iterator[list[str]]:
    argv = ("ip", "netns", "exec", net.name(who), "cat", path)
    yield subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


def connected(net: FarmNet, source: str, address: str, port: int) -> socket.socket:
    end = net.socket("far", source, 0, socket.SOCK_STREAM)
    end.settimeout(5)
    end.connect((address, port))
    return end


def drain(end: socket.socket) -> None:
    """What else was answered to one request, which may have come in several pieces."""
    time.sleep(0.05)
    end.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        end.recv(4096)
    end.settimeout(5)


# Errors


def asked(end: socket.socket, size: int) -> set[int]:
    """The bytes of which the whole answer is made."""
    end.sendall(b"!%d" % size)
    got = b""
    while len(got) < size:
        got += end.recv(size)
    return set(got)


@each_address
@each_tcp_port
def test_an_answer_too_large_for_the_path_comes_smaller(
    net: FarmNet, servers: Servers, address: str, port: int
) -> None:
    sources = iter(FAR_CLIENTS[":" in address][port - TCP_PORT :: 2])
    net.directed_by("c")
    net.everywhere(table("settled", "b"))
    forget_paths(net)
    with connected(net, next(sources), address, port) as end, connected(net, next(sources), address, port) as former:
        assert asked(end, 8000) == {ord("b")}
        net.everywhere(table("coming", "b", "a"))
        net.everywhere(table("leaving", "a", "b"))
        assert asked(former, 8000) == {ord("b")}
        with connected(net, next(sources), address, port) as begun:
            assert asked(begun, 8000) == {ord("a")}


def forget_paths(net: FarmNet) -> None:
    """What a test before has taught the nodes."""
    for node in NODES:
        net.ip(node, ["route flush cache"])
        subprocess.run(("ip", "-6", "-n", net.name(node), "route", "flush", "cache"), check=True)


@each_address
@pytest.mark.parametrize("size", [NARROW + 100, LARGE])
@pytest.mark.parametrize("port", [UDP_PORT, EACH_UDP_PORT])
def test_a_datagram_too_large_for_the_path_is_heard_of(
    net: FarmNet, servers: Servers, address: str, size: int, port: int
) -> None:
    """From the second one on answers come: as fragments, or as smaller ones. (A router may make them of IPv4's.)"""
    net.rules = MIXED_RULES
    net.directed_by("c")
    net.everywhere(table("settled", "b"))
    forget_paths(net)
    with net.socket("far", FAR_CLIENTS[":" in address][-1], 0, socket.SOCK_DGRAM) as end:
        end.settimeout(1)
        end.sendto(b"!%d" % size, (address, port))
        with contextlib.suppress(TimeoutError):
            assert end.recv(4096) == b"b" * size
        end.settimeout(ARRIVED_S)
        for _ in range(2):
            end.sendto(b"!%d" % size, (address, port))
            assert end.recv(4096) == b"b" * size


# Echo


@each_address
@pytest.mark.parametrize("size", [56, LARGE])
@pytest.mark.parametrize("director", ["a", "c"])
def test_an_echo_request_has_one_answer(net: FarmNet, address: str, size: int, director: str) -> None:
    net.directed_by(director)
    net.everywhere(table("leaving", "b", "a"))
    argv = ("ip", "netns", "exec", net.name("client"), "ping", "-c", "3", "-i", "0.2", "-W", "2", "-s", str(size))
    said = subprocess.run((*argv, address), check=True, capture_output=True, text=True).stdout
    assert re.search(r"3 packets transmitted, 3 received, 0% packet loss", said), said
