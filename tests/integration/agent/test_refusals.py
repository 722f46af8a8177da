"""What a probe is told of a machine without an agent, between two network namespaces: by ICMP, and by ICMPv6."""

import asyncio
import subprocess
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
import uvloop

from agent.adapters.probe_messages import Answer, Module
from agent.adapters.probing import Dropped, Probing
from tests.integration.agent.cable import Net, sh
from tests.support.inside import inside

MODULE = Module("cluster", "module")
PORT = 7401
LATE_NS = 1_500_000_000
NEAR = pytest.mark.parametrize("family", ["4", "6"])
HERE = {"4": "10.99.0.1", "6": "fd99::1"}
THERE = {"4": "10.99.0.2", "6": "fd99::2"}
BEHIND = {"4": "10.98.0.2", "6": "fd98::2"}
ROUTE = {"4": "10.98.0.0/24", "6": "fd98::/64"}
FORWARDING = {"4": "net.ipv4.ip_forward", "6": "net.ipv6.conf.all.forwarding"}
REJECT = """\
add table inet t
add chain inet t c {{ type filter hook {hook} priority 0; }}
add rule inet t c udp dport {port} reject with icmpx {what}
"""
_GIVE_UP_S = 15.0


class Seen:
    """What was told of node ``b``."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.answers: list[str] = []
        self.dropped: list[tuple[Dropped, str]] = []

    def asked(self, by: str, directs: Mapping[str, int]) -> None:
        raise AssertionError("nobody asks here")

    def answered(self, node: str, answer: Answer, asked_ns: int) -> None:
        self.answers.append(node)

    def refused(self, node: str, asked_ns: int) -> None:
        self.refusals.append(node)


def play(net: Net, own: str, asked: str, story: Callable[[Seen, Probing], Coroutine[Any, Any, None]]) -> None:
    """``story`` in the namespace ``here``, on the agent's own event loop, while the node at ``asked`` is probed."""

    async def played() -> None:
        seen = Seen()
        probing = Probing("a", LATE_NS, lambda what, whose: seen.dropped.append((what, whose)))
        assert probing.open(own, PORT)
        try:
            probing.attend(MODULE, seen)
            probing.probe(MODULE, {"b": asked}, {})
            await story(seen, probing)
        finally:
            probing.close()

    inside(net.here, lambda: uvloop.run(played()))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_GIVE_UP_S):
        while not holds():
            await asyncio.sleep(0.01)


def there(net: Net, *argv: str) -> None:
    sh("ip", "netns", "exec", net.there, *argv)


@NEAR
def test_a_machine_without_an_agent_says_so_and_goes_on_saying_it(net: Net, family: str) -> None:
    async def story(seen: Seen, probing: Probing) -> None:
        # Six at once, and then one a second: what the kernel lets each station have.
        await until(lambda: len(seen.refusals) >= 8)
        assert set(seen.refusals) == {"b"}
        assert seen.dropped == []

    play(net, HERE[family], THERE[family], story)


@NEAR
def test_one_that_is_gone_says_nothing(net: Net, family: str) -> None:
    there(net, "ip", "link", "set", "mft", "arp", "off")
    there(net, "ip", "addr", "del", f"{THERE[family]}/{24 if family == '4' else 64}", "dev", "mft")

    async def story(seen: Seen, probing: Probing) -> None:
        # This machine's own kernel says that it finds nobody there; that is not the other's word.
        await until(lambda: probing.dropped[Dropped.UNTAKEN] >= 3)
        assert seen.refusals == []
        assert seen.dropped == [(Dropped.UNTAKEN, THERE[family])]

    play(net, HERE[family], THERE[family], story)


@NEAR
def test_what_a_firewall_on_the_way_says_is_no_word_of_the_machine(net: Net, family: str) -> None:
    there(net, "sysctl", "-qw", f"{FORWARDING[family]}=1")
    there(net, "nft", REJECT.format(hook="forward", port=PORT, what="port-unreachable"))
    there(net, "ip", "link", "add", "behind", "type", "veth", "peer", "name", "beyond")
    for link in ("behind", "beyond"):
        there(net, "ip", "link", "set", link, "up")
    there(net, "ip", "route", "add", ROUTE[family], "dev", "behind")
    sh("ip", "-n", net.here, "route", "add", ROUTE[family], "via", THERE[family])

    async def story(seen: Seen, probing: Probing) -> None:
        await until(lambda: probing.dropped[Dropped.UNTAKEN] >= 3)
        assert seen.refusals == []

    play(net, HERE[family], BEHIND[family], story)


@NEAR
def test_a_machine_that_is_not_to_be_reached_there_says_another_thing(net: Net, family: str) -> None:
    there(net, "nft", REJECT.format(hook="input", port=PORT, what="admin-prohibited"))

    async def story(seen: Seen, probing: Probing) -> None:
        await until(lambda: probing.dropped[Dropped.UNTAKEN] >= 3)
        assert seen.refusals == []

    play(net, HERE[family], THERE[family], story)


@NEAR
def test_an_agent_that_begins_there_answers(net: Net, family: str) -> None:
    """The same socket, which has been told so often that nobody is there, sends and hears as before."""

    async def story(seen: Seen, probing: Probing) -> None:
        await until(lambda: len(seen.refusals) >= 3)
        argv = ("ip", "netns", "exec", net.there, "python3", "-c", _AGENT, THERE[family], str(PORT))
        process = subprocess.Popen(argv)
        try:
            await until(lambda: len(seen.answers) >= 3)
        finally:
            process.kill()
            process.wait()
        seen.refusals.clear()
        await until(lambda: bool(seen.refusals))

    play(net, HERE[family], THERE[family], story)


_AGENT = """
import json, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as b:
    b.bind((sys.argv[1], int(sys.argv[2])))
    while True:
        asked, whom = b.recvfrom(4096)
        answer = {**json.loads(asked), "kind": "answer", "ready": True, "adopting": False, "is_open": True}
        answer.update(dict.fromkeys(("numbers", "macs", "busy", "heard_ms"), {}), promises=[])
        b.sendto(json.dumps(answer).encode(), whom)
"""
