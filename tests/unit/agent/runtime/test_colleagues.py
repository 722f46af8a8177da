"""The other nodes' agents: where they are asked, what for, and what a state says of them while etcd is silent."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from agent.api_view import LocalState
from agent.api_view_told import Told
from agent.runtime.colleagues import TOLD_S, Colleagues, Nobody
from agent.runtime.handlers_state import StateHandlers
from manager.model.api import ApiError, ErrorKind, ModuleView, NodeState, StateArguments, StateResult, WhyArguments
from manager.model.api_channel import Asker, why_not
from manager.model.api_log_files import LogsArguments
from manager.model.api_log_levels import LogLevelArguments
from manager.model.api_modules import ApplyArguments, DesiredArguments
from manager.model.api_requests import Action, RequestArguments
from manager.model.log_words import LogLevel
from manager.model.reasons import Reason
from manager.model.records import KnownNode, MemberRecord, ModuleConfigRecord, NodeRecord
from manager.model.states import ModuleState, Readiness, Run
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml


class Client:
    """The agents' channel: what each node answers, and what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, tuple[str, ...], Any, str]] = []

    async def ask(
        self, node: str, addresses: Sequence[str], arguments: Any, user: str, report: Any, reach_s: float = 2.0
    ) -> Any:
        self.asked.append((node, tuple(addresses), arguments, user))
        answer = self.answers[node]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, ApiError):
            raise answer
        return answer


def colleagues(bench: Bench, client: Client, *, secure: bool = True) -> Colleagues:
    return Colleagues("a", bench.view, cast(Any, client), secure=secure)


def state_of(node: str, state: ModuleState, name: str = "db") -> StateResult:
    """As the agent of ``node`` tells without etcd."""
    own = NodeState(node, state, Readiness.READY, str(Reason.SERVING), None, None, True, 3, detail="all is well")
    other = NodeState("a", ModuleState.ALONE, Readiness.READY, "", None, None, None)
    view = ModuleView(name, None, 1, (other, own), "", 3, None)
    return StateResult("c", node, False, 5, (view,))


REFUSED = ApiError(ErrorKind.UNREACHABLE, "node d: connection refused (10.0.0.2).")


class Tellers(Nobody):
    """Nodes that have told something."""

    def __init__(self, **told: Told) -> None:
        self.answers = told
        self.asked: list[str] = []

    async def told(self, nodes: Iterable[str]) -> Mapping[str, Told]:
        self.asked += nodes
        return self.answers


def test_a_node_is_looked_for_where_it_is_registered_and_was_last_known_and_this_one_is_not() -> None:
    bench = Bench("a")
    bench.put(KEYS.node("b"), NodeRecord("b", ("10.0.0.2", "10.0.0.1"), "1", "boot", "i", 0))
    bench.put(KEYS.known("b"), KnownNode("b", ("192.168.0.2", "10.0.0.2"), "boot", ""))
    bench.put(KEYS.known("c"), KnownNode("c", ("10.0.0.3",), "boot", ""))

    async def story() -> None:
        known = colleagues(bench, Client())
        assert known.addresses_of("b") == ("10.0.0.2", "192.168.0.2")
        assert known.addresses_of("c") == ("10.0.0.3",)
        assert known.addresses_of("d") == ()

    bench.run(story)


def test_a_call_is_handed_on_with_who_asks() -> None:
    bench = Bench("a", "b")
    bench.put(KEYS.known("b"), KnownNode("b", ("10.0.0.2",), "boot", ""))
    client = Client(b="done")

    async def story() -> None:
        known, arguments = colleagues(bench, client), RequestArguments("db", Action.SWAP)
        assert await known.forward("b", arguments, ROOT, bench.report) == "done"
        assert client.asked == [("b", ("10.0.0.2",), arguments, "root")]

    bench.run(story)


@pytest.mark.parametrize(
    ("node", "arguments", "secure", "kind", "words"),
    [
        ("c", LogsArguments("db"), True, ErrorKind.NOT_FOUND, "No node c has been heard of"),
        ("b", ApplyArguments("", {}), True, ErrorKind.REFUSED, "module apply is not asked of b from another node"),
        ("b", RequestArguments("db", Action.SWAP), False, ErrorKind.REFUSED, "while tls.mode is off"),
    ],
)
def test_what_cannot_be_asked_is_not(node: str, arguments: Any, secure: bool, kind: ErrorKind, words: str) -> None:
    bench, client = Bench("a", "b"), Client()

    async def story() -> None:
        known = colleagues(bench, client, secure=secure)
        error = await refusal(known.forward(node, arguments, ROOT, bench.report))
        assert error.kind is kind and words in error.message and error.remedy
        assert not client.asked

    bench.run(story)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (ApplyArguments("", {}), "Leave out --node before the command: by etcd it is the same from every node"),
        (DesiredArguments("db", Run.STOPPED), "Leave out --node before the command"),
        (RequestArguments("db", Action.SWAP), "Put --node b behind the command"),
        (LogLevelArguments(LogLevel.DEBUG), "Run the command on b"),
    ],
)
def test_what_can_be_done_through_etcd_is_said_to_be_done_from_here(arguments: Any, remedy: str) -> None:
    error = why_not(arguments, "b", Asker.ANYBODY)
    assert error is not None and remedy in error.remedy


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (ApplyArguments("", {}), "module apply is"),
        (RequestArguments("db", Action.SWAP), "swap is"),
        (DesiredArguments("db", Run.STOPPED), "start and stop are"),
        (LogLevelArguments(LogLevel.DEBUG), "loglevel is"),
    ],
)
def test_a_call_that_another_node_does_not_answer_is_named_as_the_command_is(arguments: Any, words: str) -> None:
    error = why_not(arguments, "b", Asker.ANYBODY)
    assert error is not None and error.message.startswith(f"{words} not asked of b from another node")


def test_before_etcd_was_ever_heard_nobody_is_known() -> None:
    bench = Bench("a", "b")
    error = asyncio.run(refusal(colleagues(bench, Client()).forward("b", LogsArguments("db"), ROOT, bench.report)))
    assert error.kind is ErrorKind.STORE_UNREACHABLE


def test_all_are_asked_at_once_and_one_that_says_nothing_is_waited_for_a_second() -> None:
    bench, answer = Bench("a", "b", "c", "d"), state_of("b", ModuleState.PRIM)
    client = Client(b=answer, c=None, d=REFUSED)

    async def story() -> None:
        known = colleagues(bench, client)
        begun = asyncio.get_running_loop().time()
        told = await known.told(["a", "b", "c", "d"])
        assert told == {"b": answer, "c": f"no answer within {TOLD_S:g} s", "d": "connection refused (10.0.0.2)"}
        assert asyncio.get_running_loop().time() - begun < 3 * TOLD_S

    bench.run(story)


def test_who_asks_at_the_same_time_has_the_same_answer_and_one_who_leaves_takes_nothing_away() -> None:
    bench, client = Bench("a", "b"), Client(b=None)

    async def story() -> None:
        known = colleagues(bench, client)
        leaves, stays = asyncio.create_task(known.told(["b"])), asyncio.create_task(known.told(["b"]))
        await bench.until(lambda: bool(client.asked))
        leaves.cancel()
        assert (await stays)["b"] == f"no answer within {TOLD_S:g} s"
        assert len(client.asked) == 1
        await known.close()

    bench.run(story)


def applied(*registered: str) -> Bench:
    bench = Bench(*registered)
    bench.put(KEYS.module("db").config, ModuleConfigRecord("m", 1, toml(), {}, "", ""))
    member = MemberRecord("b", ModuleState.SECOND, Readiness.READY, str(Reason.IN_SYNC), "boot-b", "i", None, None)
    bench.put(KEYS.module("db").member("b"), member)
    return bench


def silence(bench: Bench) -> None:
    """etcd has not been heard for longer than its silence takes to count."""
    bench.etcd.advance(60)
    assert not bench.view.reachable


def test_while_etcd_answers_nobody_else_is_asked() -> None:
    bench, others = applied("a", "b"), Tellers()

    async def story() -> None:
        state = await StateHandlers(bench.seat, others).state(StateArguments(), ROOT, bench.report)
        assert state.modules[0].on("b").state is ModuleState.SECOND  # type: ignore[union-attr]
        assert (state.told_by, others.asked) == ((), [])

    bench.run(story)


FAILED = MemberRecord(
    "b", ModuleState.WAIT, Readiness.BLOCKED, str(Reason.REPLICATOR_FAILED), "boot-b", "i", None, None
)


def told_words(told: Told, member: MemberRecord = FAILED) -> tuple[str, list[str]]:
    """What ``why`` says in words of b, asked at a; and who was asked for it."""
    bench, others = applied("a", "b"), Tellers(b=told)
    bench.put(KEYS.module("db").member("b"), member)
    said: list[str] = []

    async def story() -> None:
        why = await StateHandlers(bench.seat, others).why(WhyArguments("db", "a"), ROOT, bench.report)
        there = why.module.on("b")
        assert there is not None and (there.state, why.told_by) == (member.state, ())
        said.append(there.detail)

    bench.run(story)
    return said[0], others.asked


def test_why_has_the_words_of_what_failed_on_another_node_from_its_agent() -> None:
    told = state_of("b", ModuleState.WAIT)
    [view] = told.modules
    own = replace(view.nodes[1], reason=str(Reason.REPLICATOR_FAILED), detail="the mount failed")
    same = replace(told, modules=(replace(view, nodes=(view.nodes[0], own)),))
    assert told_words(same) == ("the mount failed", ["b"])
    assert told_words(told) == ("", ["b"]), "they belong to another cause"
    assert told_words("no answer within 1 s") == ("", ["b"])


def test_of_what_has_not_failed_no_words_are_asked_for() -> None:
    assert told_words(state_of("b", ModuleState.SECOND), replace(FAILED, reason=str(Reason.CATCHING_UP))) == ("", [])


@pytest.mark.parametrize("module", ["", "db"])
def test_without_etcd_each_node_says_itself_what_it_is(module: str) -> None:
    bench, others = applied("a", "b"), Tellers(b=state_of("b", ModuleState.PRIM))

    async def story() -> None:
        silence(bench)
        state = await StateHandlers(bench.seat, others).state(StateArguments(module), ROOT, bench.report)
        there = state.modules[0].on("b")
        assert there is not None
        assert (there.state, there.epoch, there.detail) == (ModuleState.PRIM, 3, "all is well")
        assert state.modules[0].on("a").state is None, "b says nothing of a"  # type: ignore[union-attr]
        assert (state.store_reachable, state.told_by) == (False, ("b",))
        why = await StateHandlers(bench.seat, others).why(WhyArguments("db", "b"), ROOT, bench.report)
        assert (why.module.on("b"), why.told_by, why.here) == (there, ("b",), "a")

    bench.run(story)


def test_a_module_that_goes_while_the_others_are_asked_is_in_no_list_and_unknown_by_its_name() -> None:
    bench = applied("a", "b")
    bench.put(KEYS.module("web").config, ModuleConfigRecord("w", 1, toml("web", "/srv/web"), {}, "", ""))

    class Removing(Nobody):
        async def told(self, nodes: Iterable[str]) -> Mapping[str, Told]:
            cast(dict[str, Any], bench.view.kvs).pop(KEYS.module("db").config)
            return {}

    async def story() -> None:
        silence(bench)
        handlers = StateHandlers(bench.seat, Removing())
        shown = await handlers.state(StateArguments(), ROOT, bench.report)
        assert [module.name for module in shown.modules] == ["web"]
        assert (await refusal(handlers.state(StateArguments("db"), ROOT, bench.report))).kind is ErrorKind.NOT_FOUND

    bench.run(story)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("no answer within 1 s", "only etcd could tell, and its agent does not: no answer within 1 s"),
        (state_of("b", ModuleState.PRIM, "web"), "only etcd could tell: its agent answers"),
        (replace(state_of("b", ModuleState.PRIM), modules=()), "only etcd could tell: its agent answers"),
    ],
)
def test_what_nobody_tells_is_unknown_with_the_reason(told: Told, words: str) -> None:
    bench, others = applied("a", "b"), Tellers(b=told)

    async def story() -> None:
        silence(bench)
        state = await StateHandlers(bench.seat, others).state(StateArguments("db"), ROOT, bench.report)
        there = state.modules[0].on("b")
        assert there is not None and there.state is None and there.detail.startswith(words)
        assert state.told_by == ()

    bench.run(story)


def test_this_nodes_own_word_is_not_replaced() -> None:
    bench, others = applied("a", "b"), Tellers(b="no answer")
    own = MemberRecord("a", ModuleState.ALONE, Readiness.READY, "", "boot-a", "i", None, None, epoch=4)

    async def story() -> None:
        silence(bench)
        bench.modules.local_state = lambda module: LocalState(own)  # type: ignore[method-assign]
        state = await StateHandlers(bench.seat, others).state(StateArguments("db"), ROOT, bench.report)
        here = state.modules[0].on("a")
        assert here is not None and (here.state, here.epoch) == (ModuleState.ALONE, 4)

    bench.run(story)
