"""Probes between agents over real sockets: who hears whom, and what is dropped."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from agent.adapters.probe_messages import Answer, Kind, Message, Module, pack
from agent.adapters.probing import EVERY_S, Dropped, Probing
from manager.model.errors import DefiniteFailure

LATE_NS = 1_500_000_000
MODULE, OTHER = Module("cluster", "module"), Module("cluster", "other")
AT = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
READY = Answer(True, {"10.0.0.1": 4}, {"10.0.0.1": "02:00:00:00:00:0b"}, {"10.0.0.1": frozenset({0, 7, 1023})})


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Cluster:
    """The probing of three nodes' agents."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clock = Clock()
        self.told: dict[str, list[tuple[Dropped, str]]] = {node: [] for node in AT}
        self.of = {node: self._made(node) for node in AT}
        self.heard: list[tuple[str, Answer]] = []

    def _made(self, node: str) -> Probing:
        return Probing(node, LATE_NS, lambda what, whose: self.told[node].append((what, whose)), self.clock)

    def open(self) -> None:
        for node, probing in self.of.items():
            assert probing.open(AT[node], self.port)

    def ask(self, *nodes: str, module: Module = MODULE) -> None:
        self.of["a"].probe(module, {n: AT[n] for n in nodes}, lambda node, answer: self.heard.append((node, answer)))

    def send(self, datagram: bytes, to: str = "a") -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.bind(("127.0.0.9", 0))
            sending.sendto(datagram, (AT[to], self.port))

    def close(self) -> None:
        for probing in self.of.values():
            probing.close()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    yield port


def play(port: int, story: Callable[[Cluster], Coroutine[Any, Any, None]]) -> None:
    async def played() -> None:
        cluster = Cluster(port)
        cluster.open()
        try:
            await story(cluster)
        finally:
            cluster.close()

    uvloop.run(played())


async def until(holds: Callable[[], bool], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def test_each_node_is_heard_four_times_a_second(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY)
        cluster.of["c"].answer(MODULE, Answer())
        cluster.ask("b", "c")
        await asyncio.sleep(0.1)
        assert sorted(node for node, _ in cluster.heard) == ["b", "c"]
        await asyncio.sleep(4 * EVERY_S)
        assert 8 <= len(cluster.heard) <= 10
        assert {node: answer for node, answer in cluster.heard} == {"b": READY, "c": Answer()}
        cluster.of["b"].answer(MODULE, Answer(ready=False))
        cluster.heard.clear()
        await until(lambda: ("b", Answer(ready=False)) in cluster.heard)
        cluster.ask("c")
        cluster.heard.clear()
        await until(lambda: len(cluster.heard) >= 2)
        assert {node for node, _ in cluster.heard} == {"c"}
        cluster.ask()
        cluster.heard.clear()
        await asyncio.sleep(2 * EVERY_S)
        assert cluster.heard == [] and not any(cluster.told.values())

    play(port, story)


def test_who_is_not_asked_to_answer_is_silent(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(OTHER, READY)
        cluster.ask("b")
        cluster.ask("b", module=Module("another", OTHER.module_id))
        await until(lambda: cluster.of["b"].dropped[Dropped.MODULE] >= 4)
        assert cluster.heard == [] and cluster.told["b"] == [(Dropped.MODULE, AT["a"])]
        cluster.of["b"].answer(MODULE, READY)
        await until(lambda: bool(cluster.heard))
        cluster.of["b"].fall_silent(MODULE)
        cluster.heard.clear()
        await asyncio.sleep(2 * EVERY_S)
        assert cluster.heard == []

    play(port, story)


def test_what_is_not_ours_is_dropped_counted_and_told_once(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        a = cluster.of["a"]
        a.answer(MODULE, READY)
        other_release = {**json.loads(pack(Message(Kind.PROBE, MODULE, 1, "a"))), "version": 2}
        for _ in range(2):
            cluster.send(b"\xff garbage")
            cluster.send(json.dumps(other_release).encode())
            cluster.send(pack(Message(Kind.PROBE, OTHER, 1, "a")))
            cluster.send(pack(Message(Kind.PROBE, MODULE, 1, "b")))
            cluster.send(pack(Message(Kind.ANSWER, MODULE, 1, "b", READY)))
        kinds = (Dropped.GARBAGE, Dropped.VERSION, Dropped.MODULE, Dropped.NODE, Dropped.STALE)
        await until(lambda: sum(a.dropped.values()) == 2 * len(kinds))
        assert dict(a.dropped) == dict.fromkeys(kinds, 2)
        assert cluster.told["a"] == [(kind, "127.0.0.9") for kind in kinds]

    play(port, story)


def test_an_answer_counts_once_and_in_time_and_from_the_node_that_was_asked(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        a = cluster.of["a"]
        # Node b is played here: it answers when told to.
        cluster.of["b"].close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as b:
            b.bind((AT["b"], port))
            loop = asyncio.get_running_loop()

            async def asked() -> int:
                while True:
                    probe = json.loads(await asyncio.wait_for(loop.sock_recv(b, 4096), 3))
                    if probe["module_id"] == MODULE.module_id:
                        return int(probe["sequence"])

            def answers(sequence: int, node: str = "b", module: Module = MODULE) -> None:
                b.sendto(pack(Message(Kind.ANSWER, module, sequence, node, READY)), (AT["a"], port))

            cluster.ask("b")
            cluster.ask("b", module=OTHER)
            first = await asked()
            answers(first)
            answers(first)
            await until(lambda: a.dropped[Dropped.STALE] == 1)
            assert cluster.heard == [("b", READY)]
            second = await asked()
            answers(second, module=OTHER)
            answers(second, node="c")
            await until(lambda: a.dropped[Dropped.STALE] == 2 and a.dropped[Dropped.NODE] == 1)
            cluster.clock.now_ns += LATE_NS + 1
            answers(second)
            await until(lambda: a.dropped[Dropped.STALE] == 3)
            third = await asked()
            cluster.clock.now_ns += LATE_NS
            answers(third)
            await until(lambda: len(cluster.heard) == 2)
            # Of a node that is asked no more nothing counts.
            fourth = await asked()
            cluster.ask("c")
            answers(fourth)
            await until(lambda: a.dropped[Dropped.STALE] == 4)
            assert len(cluster.heard) == 2

    play(port, story)


def test_what_cannot_be_sent_is_told_and_does_not_stop_the_rest(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY)
        nodes = {"z": "fd00::1", "b": AT["b"]}
        cluster.of["a"].probe(MODULE, nodes, lambda node, answer: cluster.heard.append((node, answer)))
        await until(lambda: len(cluster.heard) >= 2)
        assert [kind for kind, _ in cluster.told["a"]] == [Dropped.UNSENT]

    play(port, story)


def test_a_stalled_loop_catches_up_with_nothing(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY)
        cluster.ask("b")
        await until(lambda: bool(cluster.heard))
        time.sleep(5 * EVERY_S)
        cluster.heard.clear()
        await asyncio.sleep(EVERY_S)
        assert len(cluster.heard) <= 3

    play(port, story)


def test_a_port_that_is_taken_is_refused_and_an_address_that_is_missing_waited_for(port: int) -> None:
    async def story() -> None:
        first = Probing("a", LATE_NS, lambda _what, _whose: None)
        second = Probing("b", LATE_NS, lambda _what, _whose: None)
        assert first.open("127.0.0.1", port)
        with pytest.raises(DefiniteFailure, match=str(port)):
            second.open("127.0.0.1", port)
        assert not second.open("192.0.2.77", port)
        second.probe(MODULE, {"a": "127.0.0.1"}, lambda _node, _answer: None)
        await until(lambda: second.dropped[Dropped.UNSENT] > 0)
        second.close()
        first.close()
        assert first.open("127.0.0.1", port)
        first.close()

    uvloop.run(story())
