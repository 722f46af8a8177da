"""Whether another machine is there, in network namespaces of the real kernel: whatever it lets through."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

import pytest
import uvloop

from agent.adapters.netlink import Netlink
from agent.adapters.presence import ASK_S, Presence, ask
from tests.support.inside import inside

FOUR, SIX = "10.98.0.2", "fd98::2"
FAR = "10.97.0.2"
"""Of the other machine, behind it."""
PORT = 7789
DROPS_ALL = "add rule inet t in meta l4proto { tcp, udp, icmp } drop; add rule inet t in icmpv6 type echo-request drop"


def sh(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=10)


class Net:
    """Two namespaces with a cable between them; this node is ``here``."""

    def __init__(self) -> None:
        self.here, self.there = f"mf-pres-{os.getpid()}-h", f"mf-pres-{os.getpid()}-t"

    def up(self) -> None:
        for name in (self.here, self.there):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "-n", self.here, "link", "add", "mfh", "type", "veth", "peer", "name", "mft", "netns", self.there)
        for name, link, end in ((self.here, "mfh", "1"), (self.there, "mft", "2")):
            sh("ip", "-n", name, "link", "set", link, "up")
            sh("ip", "-n", name, "addr", "add", f"10.98.0.{end}/24", "dev", link)
            sh("ip", "-n", name, "addr", "add", f"fd98::{end}/64", "dev", link, "nodad")
        sh("ip", "-n", self.there, "addr", "add", f"{FAR}/32", "dev", "lo")

    def down(self) -> None:
        for name in (self.here, self.there):
            with contextlib.suppress(subprocess.CalledProcessError):
                sh("ip", "netns", "del", name)

    def filter(self, rules: str) -> None:
        """What the other machine does with what comes in."""
        chain = "add chain inet t in { type filter hook input priority 0; policy accept; }"
        sh("ip", "netns", "exec", self.there, "nft", f"add table inet t; {chain}; {rules}")

    def asks(self, *addresses: str) -> tuple[Presence, float]:
        """What comes of it, and after how many seconds, from a thread that is in the namespace ``here``."""

        async def asked() -> Presence:
            netlink = Netlink()
            try:
                return await ask(addresses, PORT, await netlink.interfaces(), await netlink.addresses())
            finally:
                await netlink.close()

        begun = time.monotonic()
        found = inside(self.here, lambda: uvloop.run(asked()))
        return found, time.monotonic() - begun


@pytest.fixture
def net() -> Iterator[Net]:
    net = Net()
    net.up()
    yield net
    net.down()


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_a_machine_that_lets_all_through_answers_a_ping(net: Net, address: str) -> None:
    assert net.asks(address)[0] == Presence(f"{address} answers a ping", ())


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_one_that_is_silent_to_pings_refuses_connections(net: Net, address: str) -> None:
    net.filter("add rule inet t in icmp type echo-request drop; add rule inet t in icmpv6 type echo-request drop")
    answering = net.asks(address)[0].answering
    # Its advertisement to the kernel's own question is an ICMPv6 message of that address.
    assert "refuses a connection" in answering if address == FOUR else answering


def test_one_that_listens_takes_one(net: Net) -> None:
    net.filter("add rule inet t in icmp type echo-request drop")
    listening = subprocess.Popen(
        ("ip", "netns", "exec", net.there, "python3", "-c",
         f"import socket,time; s=socket.create_server(('{FOUR}', {PORT})); print(1, flush=True); time.sleep(60)"),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert listening.stdout is not None and listening.stdout.readline()
        assert net.asks(FOUR)[0].answering == f"{FOUR} takes a connection"
    finally:
        listening.kill()
        listening.wait(10)


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_one_that_filters_everything_answers_on_the_link(net: Net, address: str) -> None:
    net.filter(DROPS_ALL)
    assert net.asks(address)[0].answering


def test_one_of_many_addresses_is_enough(net: Net) -> None:
    found = net.asks("10.98.0.77", "192.0.2.9", FOUR)[0]
    assert found == Presence(f"{FOUR} answers a ping", (("192.0.2.9", "Network is unreachable"),))


def test_one_behind_a_router_is_asked_too(net: Net) -> None:
    sh("ip", "-n", net.here, "route", "add", f"{FAR}/32", "via", FOUR)
    assert net.asks(FAR)[0].answering == f"{FAR} answers a ping"
    net.filter(DROPS_ALL)
    assert net.asks(FAR)[0] == Presence("", ())


@pytest.mark.parametrize("off", ["link", "machine"])
def test_one_that_is_off_does_not_answer_even_right_after_it_did(net: Net, off: str) -> None:
    assert net.asks(FOUR, SIX)[0].answering
    if off == "link":
        sh("ip", "-n", net.there, "link", "set", "mft", "down")
    else:
        sh("ip", "netns", "exec", net.there, "nft", "add table netdev t; add chain netdev t in { type filter hook "
           "ingress device mft priority 0; policy drop; }")  # fmt: skip
    found, seconds = net.asks(FOUR, SIX)
    assert found.answering == ""
    assert seconds < ASK_S + 3.0


def test_what_cannot_be_asked_is_said(net: Net) -> None:
    found = net.asks("10.98.0.1", "fd98::1", "192.0.2.9", "2001:db8::9", "127.0.0.1", "nonsense")[0]
    assert found.answering == ""
    assert dict(found.untried) == {
        "10.98.0.1": "this node's own", "fd98::1": "this node's own", "192.0.2.9": "Network is unreachable",
        "2001:db8::9": "Network is unreachable", "127.0.0.1": "this node's own", "nonsense": "not an address",
    }  # fmt: skip


def test_an_address_that_a_filter_of_this_node_holds_back_is_not_taken_for_silent(net: Net) -> None:
    sh("ip", "netns", "exec", net.here, "nft", "add table inet t; add chain inet t out { type filter hook output "
       "priority 0; policy accept; }; add rule inet t out ip daddr 10.97.0.0/16 drop")  # fmt: skip
    sh("ip", "-n", net.here, "route", "add", f"{FAR}/32", "via", FOUR)
    assert net.asks(FAR)[0] == Presence("", ((FAR, "Operation not permitted"),))
