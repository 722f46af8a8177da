"""Which slots of a farm's address have connections, asked of the real kernel; and which of them it is to reset."""

import asyncio
import resource
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from agent.adapters.routes import interfaces
from agent.adapters.slot_connections import SharedPorts, busy, find_busy, reset_found
from agent.core.farm.hashing import seed_of, slot_of
from manager.model.config.farm_config import Affinity
from manager.model.farm import SLOTS
from tests.integration.agent.cable import Net, sh
from tests.support.inside import inside

ALL = frozenset(range(SLOTS))
SEED = seed_of("module")
FOUR, SIX = ip_address("10.99.0.1"), ip_address("fd99::1")
_TURNED_S = 3.0
"""Less than the longest that a look takes."""


def by(affinity: Affinity) -> Callable[[str, int], int]:
    return lambda client, port: slot_of(client, port, affinity, SEED)


def shared(port: int, affinity: Affinity = Affinity.CONNECTION) -> tuple[SharedPorts, ...]:
    return (SharedPorts(port, port, by(affinity)),)


def never() -> bool:
    """Whether it has been given up."""
    return False


def connected(server: socket.socket, address: str) -> tuple[socket.socket, socket.socket, int]:
    """A client, what serves it, and its slot by connection."""
    from_loopback = ("::1" if ":" in address else "127.0.0.1", 0)
    client = socket.create_connection((address, server.getsockname()[1]), 5, source_address=from_loopback)
    served, _ = server.accept()
    here, port = client.getsockname()[:2]
    return client, served, slot_of(here, port, Affinity.CONNECTION, SEED)


@pytest.mark.parametrize(("address", "listen"), [(FOUR, "0.0.0.0"), (FOUR, "::"), (SIX, "::")], ids=["4", "4in6", "6"])
def test_a_connection_is_in_the_slot_of_its_client(net: Net, address: object, listen: str) -> None:
    text = str(address)

    def story() -> None:
        family, dual = (socket.AF_INET6, True) if ":" in listen else (socket.AF_INET, False)
        with socket.create_server((listen, 0), family=family, dualstack_ipv6=dual) as server:
            port = server.getsockname()[1]
            assert find_busy(ip_address(text), ALL, shared(port)) == frozenset()
            one, its_server, slot = connected(server, text)
            assert find_busy(ip_address(text), ALL, shared(port)) == {slot}
            assert find_busy(ip_address(text), ALL, shared(port, Affinity.CLIENT)) == {
                slot_of(one.getsockname()[0], 0, Affinity.CLIENT, SEED)
            }
            assert find_busy(ip_address(text), ALL - {slot}, shared(port)) == frozenset()
            assert (
                find_busy(ip_address(text), ALL, (SharedPorts(port + 1, 65_535, by(Affinity.CLIENT)),)) == frozenset()
            )
            other = SIX if text == str(FOUR) else FOUR
            assert find_busy(other, ALL, shared(port)) == frozenset()
            # Half closed it is one still: the client waits for the rest.
            one.shutdown(socket.SHUT_WR)
            assert find_busy(ip_address(text), ALL, shared(port)) == {slot}
            its_server.close()
            one.close()
            deadline = time.monotonic() + 3
            while find_busy(ip_address(text), ALL, shared(port)):
                assert time.monotonic() < deadline
                time.sleep(0.02)

    inside(net.here, story)


def test_one_that_has_only_begun_counts_too(net: Net) -> None:
    ports = 7_000, 40_000
    # Nobody there resets what 10.99.0.2 has not begun.
    sh(
        "ip",
        "netns",
        "exec",
        net.there,
        "nft",
        "add table ip t; add chain ip t in { type filter hook input priority 0; policy drop; }",
    )

    def story() -> None:
        with socket.create_server(("10.99.0.1", ports[0])):
            assert find_busy(FOUR, ALL, shared(ports[0])) == frozenset()
            inside(net.there, lambda: begin("10.99.0.2", "10.99.0.1", *ports))
            deadline = time.monotonic() + 3
            while not (found := find_busy(FOUR, ALL, shared(ports[0]))):
                assert time.monotonic() < deadline
            assert found == {slot_of("10.99.0.2", ports[1], Affinity.CONNECTION, SEED)}

    inside(net.here, story)


def begin(source: str, destination: str, port: int, source_port: int) -> None:
    """The first segment of a connection, and no other."""
    segment = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 64_000, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, len(segment))
    total = sum(struct.unpack(f"!{(len(pseudo) + len(segment)) // 2}H", pseudo + segment))
    code = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sending:
        sending.bind((source, 0))
        sending.sendto(segment[:16] + struct.pack("!H", code) + segment[18:], (destination, 0))


def test_of_thousands_none_is_missed_and_the_loop_goes_on(net: Net) -> None:
    count = 2_000
    files = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def found(port: int) -> frozenset[int]:
        """What is found by a look that comes no further until the loop has turned: in the loop itself it would stay."""
        turned = threading.Event()

        def slot(client: str, its_port: int) -> int:
            assert turned.wait(_TURNED_S), "the loop stands still while it is looked"
            return slot_of(client, its_port, Affinity.CONNECTION, SEED)

        looking = asyncio.create_task(busy(FOUR, ALL, (SharedPorts(port, port, slot),)))
        asyncio.get_running_loop().call_later(0.05, turned.set)
        return await looking

    def story() -> None:
        with socket.create_server(("10.99.0.1", 0), backlog=64) as server:
            made = [connected(server, "10.99.0.1") for _ in range(count)]
            assert asyncio.run(found(server.getsockname()[1])) == {slot for _, _, slot in made}
            for client, served, _ in made:
                client.close()
                served.close()

    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files[0], min(files[1], 4 * count)), files[1]))
    try:
        inside(net.here, story)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)


def test_nothing_is_asked_for_no_slots() -> None:
    assert find_busy(FOUR, frozenset(), shared(80)) == frozenset()


_WAITS = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
print("connected", flush=True)
try:
    print("closed" if not connection.recv(1) else "served", flush=True)
except ConnectionResetError:
    print("reset", flush=True)
"""


@pytest.mark.parametrize("address", [FOUR, SIX], ids=["4", "6"])
def test_those_that_nobody_can_reach_are_reset_and_their_clients_told(net: Net, address: object) -> None:
    """One that only waits, at that; a client on this node is served by it whoever has its slot."""
    text = str(address)
    argv = ("ip", "netns", "exec", net.there, "python3", "-c", _WAITS, text)

    def story() -> None:
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        link = socket.if_nametoindex("mfh")
        with socket.create_server((text, 0), family=family) as server:
            port = server.getsockname()[1]
            of = shared(port)
            outside = subprocess.Popen((*argv, str(port)), stdout=subprocess.PIPE, text=True)
            try:
                served, (peer, its_port, *_) = server.accept()
                # The server has it a moment before the client: reset in between, it would not have begun to wait.
                assert outside.stdout is not None and outside.stdout.readline() == "connected\n"
                its_slot = slot_of(peer, its_port, Affinity.CONNECTION, SEED)
                own, its_server, _ = connected(server, text)
                assert reset_found(ip_address(text), ALL - {its_slot}, of, link, never) == 0
                assert reset_found(ip_address(text), ALL, of, link + 1, never) == 0
                assert reset_found(ip_address(text), ALL, shared(port + 1), link, never) == 0
                assert reset_found(ip_address(text), ALL, of, link, never) == 1
                assert outside.communicate(timeout=10)[0].strip() == "reset"
                with pytest.raises(ConnectionError):
                    served.send(b"x")
                its_server.sendall(b"x")
                assert own.recv(1) == b"x"
                assert reset_found(ip_address(text), ALL, of, link, never) == 0
            finally:
                outside.kill()
                outside.communicate()

    inside(net.here, story)


def test_what_a_client_cannot_be_sent_is_left_to_the_kernel(net: Net) -> None:
    def story() -> None:
        nowhere, near = ip_address("192.0.2.1"), ip_address("10.99.0.2")
        found = interfaces(FOUR, {nowhere, near, FOUR})
        assert found == {near: socket.if_nametoindex("mfh"), FOUR: socket.if_nametoindex("lo")}

    inside(net.here, story)
