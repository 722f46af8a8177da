"""Probes between agents over real sockets: who hears whom, what the network says of the rest, and what is dropped."""

import asyncio
import contextlib
import itertools
import json
import socket
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import pytest
import uvloop

from agent.adapters.probe_messages import Answer, Kind, Message, Module, Question, pack
from agent.adapters.probing import EVERY_S, Dropped, Probing
from manager.model.errors import DefiniteFailure

LATE_NS = 1_500_000_000
MODULE, OTHER = Module("cluster", "module"), Module("cluster", "other")
AT = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
ADDRESS = "10.0.0.1"
READY = Answer(True, False, {ADDRESS: 4}, {ADDRESS: "02:00:00:00:00:0b"}, {ADDRESS: frozenset({0, 7, 1023})})
NOTHING: dict[str, int] = {}
_COUNTED = 13
"""Of each node: three seconds."""
_GIVE_UP_S = 15.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Taken:
    """What one node's part in a module was told."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, Mapping[str, int]]] = []
        self.heard: list[tuple[str, Answer]] = []
        self.asked_ns: list[int] = []
        self.came_s: dict[str, list[float]] = {node: [] for node in AT}
        """When, by who was heard."""
        self.refusals: list[tuple[str, int]] = []

    def asked(self, by: str, directs: Mapping[str, int]) -> None:
        self.questions.append((by, directs))

    def answered(self, node: str, answer: Answer, asked_ns: int) -> None:
        self.heard.append((node, answer))
        self.came_s[node].append(time.monotonic())
        self.asked_ns.append(asked_ns)

    def refused(self, node: str, asked_ns: int) -> None:
        self.refusals.append((node, asked_ns))

    def since(self, at_ns: int) -> list[Answer]:
        """What was answered to questions of then or later; nothing of it was cleared."""
        return [answer for (_, answer), asked_ns in zip(self.heard, self.asked_ns, strict=True) if asked_ns >= at_ns]


class Cluster:
    """The probing of three nodes' agents, which take part in both modules."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clock = Clock()
        self.told: dict[str, list[tuple[Dropped, str]]] = {node: [] for node in AT}
        self.of = {node: self._made(node) for node in AT}
        self.taken = {(node, module): Taken() for node in AT for module in (MODULE, OTHER)}
        for (node, module), taken in self.taken.items():
            self.of[node].attend(module, taken)
        self.heard = self.taken["a", MODULE].heard

    def _made(self, node: str) -> Probing:
        return Probing(node, LATE_NS, lambda what, whose: self.told[node].append((what, whose)), self.clock)

    def open(self) -> None:
        for node, probing in self.of.items():
            assert probing.open(AT[node], self.port)

    def ask(self, *nodes: str, module: Module = MODULE, by: str = "a", directs: Mapping[str, int] = NOTHING) -> None:
        self.of[by].probe(module, {n: AT[n] for n in nodes}, directs)

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


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_GIVE_UP_S):
        while not holds():
            await asyncio.sleep(0.01)


def test_each_node_is_heard_four_times_a_second(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY, {})
        cluster.of["c"].answer(MODULE, Answer(), {})
        cluster.ask("b", "c")
        await until(lambda: len(cluster.heard) >= 2)
        assert sorted(node for node, _ in cluster.heard[:2]) == ["b", "c"]
        cluster.heard.clear()
        await until(lambda: len(cluster.heard) >= 2 * _COUNTED)
        assert {node: answer for node, answer in cluster.heard} == {"b": READY, "c": Answer()}
        for node in ("b", "c"):
            came_s = cluster.taken["a", MODULE].came_s[node]
            # Where this process is not run for a while, one of them is longer.
            apart_s = [later - earlier for earlier, later in itertools.pairwise(came_s)]
            assert 0.2 < statistics.median(apart_s) < 0.3, apart_s
        cluster.of["b"].answer(MODULE, Answer(ready=False), {})
        cluster.heard.clear()
        await until(lambda: ("b", Answer(ready=False)) in cluster.heard)
        cluster.ask("c")
        cluster.heard.clear()
        await until(lambda: len(cluster.heard) >= 2)
        assert {node for node, _ in cluster.heard} == {"c"}
        cluster.ask()
        cluster.heard.clear()
        await asyncio.sleep(2 * EVERY_S)
        # An answer may have been on its way when nobody wanted it any more.
        assert cluster.heard == [] and {what for told in cluster.told.values() for what, _ in told} <= {Dropped.STALE}

    play(port, story)


def test_who_has_nothing_to_answer_is_told_and_silent_and_who_takes_no_part_is_neither(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(OTHER, READY, {})
        cluster.ask("b")
        taken = cluster.taken["b", MODULE]
        await until(lambda: len(taken.questions) >= 2)
        assert cluster.heard == [] and not cluster.of["b"].dropped
        cluster.of["b"].answer(MODULE, READY, {})
        await until(lambda: bool(cluster.heard))
        cluster.of["b"].leave(MODULE)
        await until(lambda: cluster.of["b"].dropped[Dropped.MODULE] >= 2)
        cluster.heard.clear()
        taken.questions.clear()
        await asyncio.sleep(2 * EVERY_S)
        assert cluster.heard == [] and taken.questions == []
        assert cluster.told["b"] == [(Dropped.MODULE, AT["a"])]

    play(port, story)


def test_a_question_says_who_asks_and_what_it_directs(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY, {})
        taken = cluster.taken["b", MODULE]
        cluster.ask("b")
        await until(lambda: bool(taken.questions))
        cluster.ask("b", directs={ADDRESS: 4})
        await until(lambda: taken.questions[-1] == ("a", {ADDRESS: 4}))
        assert taken.questions[0] == ("a", NOTHING)

    play(port, story)


def test_a_promise_is_told_to_the_one_to_whom_it_is_made(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY, {ADDRESS: "a", "10.0.0.2": "c"})
        for by in ("a", "c"):
            cluster.ask("b", by=by)
            heard = cluster.taken[by, MODULE].heard
            await until(lambda heard=heard: bool(heard))  # type: ignore[misc]
        assert cluster.heard[0][1].promises == {ADDRESS}
        assert cluster.taken["c", MODULE].heard[0][1].promises == {"10.0.0.2"}

    play(port, story)


def test_an_answer_says_how_long_ago_who_directs_has_asked(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY, {})
        suspects = cluster.taken["c", MODULE].heard
        cluster.ask("b", by="c")
        await until(lambda: bool(suspects))
        assert suspects[-1][1].heard_ms == {}
        cluster.ask("b", directs={ADDRESS: 4})
        await until(lambda: bool(cluster.heard))
        cluster.ask()
        for _ in range(2):
            await asyncio.sleep(0.02)  # What was on its way has come.
        cluster.clock.now_ns += 1_234_567_890
        since = cluster.taken["c", MODULE].since
        await until(lambda: bool(since(cluster.clock.now_ns)))
        assert since(cluster.clock.now_ns)[0].heard_ms == {ADDRESS: 1_234}
        # Who asks and directs nothing is not the one that is meant; and of another module it is another matter.
        cluster.ask("b", module=OTHER, directs={ADDRESS: 4})
        suspects.clear()
        await until(lambda: bool(suspects))
        assert suspects[0][1].heard_ms == {ADDRESS: 1_234}

    play(port, story)


def test_an_answer_is_told_with_the_time_of_its_question(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.clock.now_ns = 5
        cluster.of["b"].answer(MODULE, READY, {})
        cluster.ask("b")
        cluster.clock.now_ns = 9
        await until(lambda: bool(cluster.heard))
        assert cluster.taken["a", MODULE].asked_ns[0] == 5

    play(port, story)


def test_where_no_agent_listens_all_who_ask_there_are_told(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].close()
        cluster.of["c"].answer(MODULE, READY, {})
        cluster.clock.now_ns = 7
        cluster.ask("b", "c")
        cluster.ask("b", module=OTHER)
        for module in (MODULE, OTHER):
            refusals = cluster.taken["a", module].refusals
            await until(lambda refusals=refusals: len(refusals) >= 3)  # type: ignore[misc]
            assert set(refusals) == {("b", 7)}
        # The complaints about one are on the same socket as everything about the others.
        await until(lambda: len(cluster.heard) >= 2)
        assert {node for node, _ in cluster.heard} == {"c"}
        assert not cluster.of["a"].dropped
        # And they end with its agent's return.
        assert cluster.of["b"].open(AT["b"], cluster.port)
        cluster.of["b"].attend(MODULE, cluster.taken["b", MODULE])
        cluster.of["b"].answer(MODULE, READY, {})
        await until(lambda: ("b", READY) in cluster.heard)
        refusals.clear()
        await asyncio.sleep(2 * EVERY_S)
        assert refusals == []

    play(port, story)


def test_a_refusal_of_what_was_not_asked_or_long_ago_is_dropped(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        a, taken = cluster.of["a"], cluster.taken["a", MODULE]
        a.answer(MODULE, READY, {})
        # An answer to who has ended meanwhile.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind(("127.0.0.9", 0))
            probe = Message(Kind.PROBE, MODULE, 1, "a", question=Question("z", NOTHING))
            asker.sendto(pack(probe), (AT["a"], port))
        await until(lambda: a.dropped[Dropped.UNTAKEN] == 1)
        assert cluster.told["a"] == [(Dropped.UNTAKEN, "127.0.0.9")]
        cluster.of["b"].close()
        cluster.ask("b")
        cluster.clock.now_ns += LATE_NS + 1
        await until(lambda: a.dropped[Dropped.STALE] >= 1)
        assert ("b", 0) not in taken.refusals

    play(port, story)


def test_what_is_not_ours_is_dropped_counted_and_told_once(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        a = cluster.of["a"]
        a.answer(MODULE, READY, {})
        a.leave(OTHER)
        other_release = {**json.loads(pack(Message(Kind.PROBE, MODULE, 1, "a"))), "version": 1}
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

            def pass_over() -> None:
                """What was asked until now."""
                with contextlib.suppress(BlockingIOError):
                    while True:
                        b.recv(4096)

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
            pass_over()
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
        cluster.of["b"].answer(MODULE, READY, {})
        cluster.of["a"].probe(MODULE, {"z": "fd00::1", "b": AT["b"]}, NOTHING)
        await until(lambda: len(cluster.heard) >= 2)
        assert [kind for kind, _ in cluster.told["a"]] == [Dropped.UNSENT]

    play(port, story)


def test_a_stalled_loop_catches_up_with_nothing(port: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.of["b"].answer(MODULE, READY, {})
        cluster.ask("b")
        await until(lambda: bool(cluster.heard))
        time.sleep(5 * EVERY_S)
        cluster.heard.clear()
        began_s = time.monotonic()
        await asyncio.sleep(EVERY_S)
        assert len(cluster.heard) <= 2 + (time.monotonic() - began_s) / EVERY_S

    play(port, story)


def test_a_port_that_is_taken_is_refused_and_an_address_that_is_missing_waited_for(port: int) -> None:
    async def story() -> None:
        first = Probing("a", LATE_NS, lambda _what, _whose: None)
        second = Probing("b", LATE_NS, lambda _what, _whose: None)
        assert first.open("127.0.0.1", port)
        with pytest.raises(DefiniteFailure, match=str(port)):
            second.open("127.0.0.1", port)
        assert not second.open("192.0.2.77", port)
        second.attend(MODULE, Taken())
        second.probe(MODULE, {"a": "127.0.0.1"}, NOTHING)
        await until(lambda: second.dropped[Dropped.UNSENT] > 0)
        second.close()
        first.close()
        assert first.open("127.0.0.1", port)
        first.close()

    uvloop.run(story())
