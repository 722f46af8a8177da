"""A farm's rules in the real kernel: three nodes and a client in namespaces, real connections, changes of tables."""

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from agent.adapters import nft
from agent.adapters.nft_watch import TableWatch
from agent.core.farm.hashing import slot_of
from agent.core.farm.nft_lasting import ENDED_S
from agent.core.farm.nft_ways import counter_name
from agent.core.farm.nftables import UNKNOWN, loading
from manager.model.config.farm_config import Affinity
from manager.model.errors import DefiniteFailure
from manager.model.farm import SLOTS, SlotTable
from tests.integration.agent.farm_net import (
    CLIENTS,
    EACH_PORT,
    FOUR,
    NODES,
    SEED,
    SIX,
    TCP_PORT,
    UDP_PORT,
    FarmNet,
    Servers,
    rules_at,
    set_kernel,
    table,
)

SPREAD = replace(table("settled", "a"), owners="".join(islice(cycle("012"), SLOTS)))
TAKEN_S = 10.0
"""Within this whoever plays the nodes has looked at all that has come, on a busy machine too."""
each_director = pytest.mark.parametrize("director", NODES)


@pytest.fixture(scope="module")
def net() -> Iterator[FarmNet]:
    made = FarmNet()
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def servers(net: FarmNet) -> Iterator[Servers]:
    made = Servers(net)
    try:
        yield made
    finally:
        made.close()


class Client:
    """A connection of one of the client's addresses."""

    def __init__(self, net: FarmNet, number: int, address: str = FOUR, port: int = TCP_PORT) -> None:
        source = CLIENTS[":" in address][number % len(CLIENTS[0])]
        self._end = net.socket("client", source, 0, socket.SOCK_STREAM)
        self._end.settimeout(5)
        self._end.connect((address, port))
        self.source, self.source_port = self._end.getsockname()[:2]

    def ask(self) -> str:
        """Who answers."""
        self.send()
        return self.answer()

    def send(self) -> None:
        """A request."""
        self._end.send(b"?")

    def answer(self) -> str:
        """Who answers it."""
        return self._end.recv(100).decode()

    def close(self) -> None:
        self._end.close()


@contextlib.contextmanager
def clients(net: FarmNet, count: int, **where: object) -> Iterator[list[Client]]:
    made: list[Client] = []
    try:
        for number in range(count):
            made.append(Client(net, number, **where))  # type: ignore[arg-type]
        yield made
    finally:
        for client in made:
            client.close()


@contextlib.contextmanager
def meanwhile(work: Callable[[int], None]) -> Iterator[None]:
    """``work`` again and again, with its number, in a thread; what it raises is raised in the end."""
    ended, failed = threading.Event(), []

    def run() -> None:
        number = 0
        while not ended.is_set():
            try:
                work(number)
            except Exception as error:
                failed.append(error)
                return
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]


def left_to_the_other(net: FarmNet) -> tuple[int, ...]:
    """How many segments each party of a move between a and b got and did not take."""
    return tuple(net.run(node, nft.counters("web"))[UNKNOWN].packets for node in "ab")


@pytest.mark.parametrize("address", [FOUR, SIX])
@pytest.mark.parametrize(("port", "affinity"), [(TCP_PORT, Affinity.CLIENT), (EACH_PORT, Affinity.CONNECTION)])
def test_each_connection_is_answered_by_the_owner_of_its_slot(
    net: FarmNet, servers: Servers, address: str, port: int, affinity: Affinity
) -> None:
    net.directed_by("a")
    net.everywhere(SPREAD)
    answered = set()
    with clients(net, len(CLIENTS[0]), address=address, port=port) as connections:
        for client in connections:
            expected = SPREAD.owner(slot_of(client.source, client.source_port, affinity, SEED))
            assert client.ask() == expected
            answered.add(expected)
    assert answered == set(NODES)


@pytest.mark.parametrize("of", [SPREAD, table("leaving", "b", "a")], ids=["settled", "leaving"])
def test_what_a_node_takes_has_no_mark_of_ours(net: FarmNet, servers: Servers, of: SlotTable) -> None:
    """Its slot was in it on the way; the machine may have other uses for marks."""
    net.directed_by("b")
    net.everywhere(of)
    net.inside("b", lambda: set_kernel("ipv4/tcp_fwmark_accept", "1"))
    try:
        with clients(net, 20) as near, clients(net, 10, address=SIX, port=EACH_PORT) as each:
            answered = {client.ask() for client in (*near, *each)}
            marks = {end.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) for end in servers.accepted("b")}
    finally:
        net.inside("b", lambda: set_kernel("ipv4/tcp_fwmark_accept", "0"))
    assert "b" in answered
    assert marks == {0}


@each_director
def test_a_slot_is_handed_over_and_no_connection_fails(net: FarmNet, servers: Servers, director: str) -> None:
    net.directed_by(director)
    net.everywhere(table("settled", "a"))
    left_before = left_to_the_other(net)
    with clients(net, 30) as former, clients(net, 10, address=SIX) as former_six:

        def ask_all(_: int) -> None:
            assert {client.ask() for client in (*former, *former_six)} == {"a"}

        with meanwhile(ask_all), meanwhile(lambda number: Client(net, number, SIX).close()):
            net.everywhere(table("coming", "a", "b"))
            net.everywhere(table("leaving", "b", "a"))
            with clients(net, 30) as begun, clients(net, 10, address=SIX) as begun_six:
                assert {client.ask() for client in (*begun, *begun_six)} == {"b"}
    assert all(after > before for after, before in zip(left_to_the_other(net), left_before, strict=True))
    with clients(net, 30) as begun:
        # What is copied to the former owner by a director that is one table behind.
        net.load("a", table("settled", "b"))
        assert {client.ask() for client in begun} == {"b"}
        net.everywhere(table("settled", "b"))
        assert {client.ask() for client in begun} == {"b"}


@each_director
def test_connections_of_a_dead_owner_are_reset_at_once(net: FarmNet, servers: Servers, director: str) -> None:
    net.directed_by(director)
    net.everywhere(table("settled", "a"))
    with clients(net, 5) as four, clients(net, 5, address=SIX) as six:
        assert {client.ask() for client in (*four, *six)} == {"a"}
        net.everywhere(table("settled", "b"))
        began_s = time.monotonic()
        for client in (*four, *six):
            with pytest.raises(ConnectionResetError):
                client.ask()
        assert time.monotonic() - began_s < 2


def test_a_former_director_shares_as_the_present_one_does(net: FarmNet, servers: Servers) -> None:
    net.everywhere(table("settled", "a"))
    net.directed_by("c")
    with clients(net, 10) as connections:
        for director in ("a", "b", "c"):
            net.directed_by(director)
            assert {client.ask() for client in connections} == {"a"}


@pytest.mark.parametrize("director", ["a", "c"])
def test_each_packet_has_one_taker_while_tables_change(net: FarmNet, servers: Servers, director: str) -> None:
    """None is lost or taken twice; and none is taken by a director that shares nothing with itself."""
    net.directed_by(director)
    both = replace(SPREAD, owners=SPREAD.owners.replace("2", "0"))
    tables = cycle((table("settled", "b"), both, table("settled", "a"), table("leaving", "b", "a")))
    net.everywhere(next(tables))
    senders = [net.socket("client", source, 0, socket.SOCK_DGRAM) for source in CLIENTS[0][:10]]
    sent = []

    def send(number: int) -> None:
        sent.append(str(number).encode())
        senders[number % len(senders)].sendto(sent[-1], (FOUR, UDP_PORT))
        time.sleep(0.0002)

    with meanwhile(send):
        for _ in range(8):
            net.load(director, next(tables))
    until_s = time.monotonic() + TAKEN_S
    while time.monotonic() < until_s and any(number not in servers.datagrams for number in sent):
        time.sleep(0.05)
    time.sleep(0.3)
    for sender in senders:
        sender.close()
    assert len(sent) > 100
    taken = {number: servers.datagrams.get(number, []) for number in sent}
    assert {number: takers for number, takers in taken.items() if len(takers) != 1} == {}
    assert {taker for takers in taken.values() for taker in takers} == {"a", "b"}


def test_what_the_kernel_refuses_is_named_and_changes_nothing(net: FarmNet, servers: Servers) -> None:
    net.directed_by("c")
    net.everywhere(table("settled", "a"))
    net.everywhere(table("settled", "b"))
    wrong = loading(rules_at("c", table("settled", "a")))
    (rule,) = (
        c["add"]["rule"] for c in wrong["nftables"] if c.get("add", {}).get("rule", {}).get("chain") == "to/a/fd99..100"
    )
    rule["expr"][-1]["fwd"]["dev"] = "none0"
    with pytest.raises(DefiniteFailure) as refused:
        net.run("c", nft.load(wrong))
    assert str(refused.value) == "nft: add rule in netdev mirrorfarm_web to/a/fd99..100, to a: Interface does not exist"
    with pytest.raises(DefiniteFailure) as refused:
        net.run("c", nft.prepare("add table inet mirrorfarm_web\nadd set inet mirrorfarm_none x { type mark ; }\n"))
    assert str(refused.value).startswith("nft: add set inet mirrorfarm_none x { type mark ; }: No such file")
    with clients(net, 2) as connections:
        assert {client.ask() for client in connections} == {"b"}


def test_an_address_that_has_lost_its_link_is_guarded_and_the_others_shared(net: FarmNet, servers: Servers) -> None:
    net.directed_by("c")
    net.everywhere(table("settled", "a"))
    net.load("b", table("settled", "a", number=2), linked=(SIX,))
    with clients(net, 2) as four, clients(net, 2, address=SIX) as six:
        assert {client.ask() for client in (*four, *six)} == {"a"}
        before = net.run("b", nft.counters("web"))[UNKNOWN].packets
        # By a table that is not that of the others it is sent what it does not know.
        net.load("c", table("settled", "b", number=3))
        four[0].send()
        time.sleep(0.3)
        net.load("c", table("settled", "a", number=4))
        assert four[0].answer() == "a"
        assert net.run("b", nft.counters("web"))[UNKNOWN].packets > before
        net.directed_by("b")
        assert {client.ask() for client in six} == {"a"}


def test_counters_outlast_tables_and_go_with_the_module(net: FarmNet, servers: Servers) -> None:
    name = counter_name("b", FOUR)
    net.directed_by("c")
    net.everywhere(table("settled", "b"))
    before = net.run("c", nft.counters("web"))[name].packets
    with clients(net, 3) as connections:
        assert {client.ask() for client in connections} == {"b"}
    net.everywhere(table("settled", "a"))
    net.everywhere(table("settled", "b"))
    counted = net.run("c", nft.counters("web"))[name]
    assert counted.packets >= before + 3 * 4
    assert counted.bytes >= counted.packets * 28
    assert net.run("c", nft.loaded()).keys() == {"web"}
    net.run("c", nft.unload("web"))
    assert net.run("c", nft.loaded()) == {}
    assert net.run("c", nft.counters("web")) == {}
    net.run("c", nft.unload("web"))


def test_one_that_has_ended_is_known_for_a_moment_and_others_as_the_machine_has_it(
    net: FarmNet, servers: Servers
) -> None:
    net.directed_by("c")
    net.everywhere(table("settled", "a"))

    def left_s() -> dict[tuple[str, int], int]:
        """How long each connection is known if nothing comes any more, by its client's address and port.

        Those of the tests before are there, too: the port alone may be that of one of them.
        """
        with NFCTSocket(socket.AF_UNSPEC) as tracking:
            listed = [(entry.get_attr("CTA_TUPLE_ORIG"), entry.get_attr("CTA_TIMEOUT")) for entry in tracking.dump()]
        left = {}
        for begun_by, timeout_s in listed:
            ip = begun_by.get_attr("CTA_TUPLE_IP")
            source = ip.get_attr("CTA_IP_V4_SRC") or ip.get_attr("CTA_IP_V6_SRC")
            left[source, begun_by.get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_SRC_PORT")] = timeout_s
        return left

    for address in (FOUR, SIX):
        with clients(net, 2, address=address) as (ends, stays):
            assert {ends.ask(), stays.ask()} == {"a"}
            ended_s = begun_s = time.monotonic()
            ends.close()
            # The server closes its end when it is run.
            while True:
                asked_s = time.monotonic()
                left = net.inside("a", left_s)
                if left[ends.source, ends.source_port] <= ENDED_S:
                    break
                assert asked_s < begun_s + TAKEN_S, left
                ended_s = asked_s
            assert left[ends.source, ends.source_port] >= ENDED_S - 1 - (time.monotonic() - ended_s)
            assert left[stays.source, stays.source_port] > 1_000


def test_other_tables_are_left_alone(net: FarmNet) -> None:
    def said(*words: str) -> str:
        argv = ("ip", "netns", "exec", net.name("b"), "nft", *words)
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def listed() -> str:
        return said("list", "table", "inet", "mine")

    said("add table inet mine; add chain inet mine in { type filter hook input priority 0; }")
    said("add rule inet mine in accept")
    before = listed()
    net.everywhere(SPREAD)
    assert net.run("b", nft.loaded()).keys() == {"web"}
    net.run("b", nft.unload("web"))
    assert listed() == before


def test_a_copy_of_them_that_somebody_loads_is_told_from_them(net: FarmNet) -> None:
    """As by ``nft list ruleset > /etc/nftables.conf``, with ``flush ruleset`` at its beginning, and a reload."""
    inside = ("ip", "netns", "exec", net.name("b"), "nft")

    async def reloaded() -> int:
        watch, told = TableWatch(), list[None]()

        def removed() -> None:
            told.append(None)

        watch.watch(removed)
        saved = subprocess.run((*inside, "list", "ruleset"), check=True, capture_output=True, text=True).stdout
        subprocess.run((*inside, "-f", "-"), check=True, input=f"flush ruleset\n{saved}", text=True)
        await asyncio.sleep(0.1)
        watch.unwatch(removed)
        return len(told)

    net.everywhere(SPREAD)
    before = net.run("b", nft.loaded())
    net.everywhere(table("settled", "a", number=2))
    assert net.run("b", nft.loaded()) == before
    assert net.run("b", reloaded()) > 0  # Of each table by itself.
    after = net.run("b", nft.loaded())
    assert after.keys() == before.keys() and after["web"].isdisjoint(before["web"])
    net.run("b", nft.unload("web"))
