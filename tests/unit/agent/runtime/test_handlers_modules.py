"""module.apply, module.remove and desired: what is refused, and that nothing is written that was not judged."""

import pytest

from agent.runtime.handlers_modules import ModuleHandlers
from agent.runtime.handlers_state import StateHandlers
from manager.model.api import (
    ApplyArguments,
    ApplyResult,
    DesiredArguments,
    DesiredResult,
    ErrorKind,
    RemoveArguments,
    ShowArguments,
)
from manager.model.config import LARGEST_BYTES
from manager.model.errors import IndefiniteFailure
from manager.model.records import DesiredRecord, Holder, InsyncRecord, MemberRecord
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import Delete, Txn, TxnResult
from manager.store.fake_store import Execution, FakeStore
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml


class Calls:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.handlers = ModuleHandlers(bench.seat)

    async def apply(self, text: str, scripts: dict[str, str] | None = None) -> ApplyResult:
        return await self.handlers.apply(ApplyArguments(text, scripts or {}), ROOT, self.bench.report)

    async def desired(self, run: Run, *nodes: str) -> DesiredResult:
        return await self.handlers.desired(DesiredArguments("db", run, nodes), ROOT, self.bench.report)

    async def remove(self, *gone: str) -> object:
        return await self.handlers.remove(RemoveArguments("db", gone), ROOT, self.bench.report)


def member(node: str) -> MemberRecord:
    return MemberRecord(node, ModuleState.WAIT, Readiness.READY, "", "boot", "", None, None)


def test_a_module_is_applied_changed_and_left_when_unchanged() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        first = await calls.apply(toml())
        assert (first.generation, first.created, first.changed, first.started_on) == (1, True, True, ())
        made = bench.view.keys.config("db")
        again = await calls.apply(toml())
        assert (again.generation, again.changed) == (1, False)
        await calls.desired(Run.STARTED, "b")
        changed = await calls.apply(toml(), {"prestart": "#!/bin/sh\n"})
        assert (changed.generation, changed.created, changed.started_on) == (2, False, ("b",))
        now = bench.view.keys.config("db")
        assert made is not None and now is not None and now.module_id == made.module_id
        folder = await StateHandlers(bench.seat).show(ShowArguments("db"), ROOT, bench.report)
        assert (folder.toml, folder.scripts, folder.applied_by) == (toml(), {"prestart": "#!/bin/sh\n"}, "root")

    bench.run(story)


def test_a_wrong_or_too_large_module_is_refused_and_not_written() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        before = bench.etcd.revision
        wrong = await refusal(calls.apply(toml(more="colour = 1\n")))
        assert wrong.kind is ErrorKind.BAD_REQUEST and "colour" in wrong.message
        large = await refusal(calls.apply(toml(), {"prestart": "x" * LARGEST_BYTES}))
        assert large.kind is ErrorKind.BAD_REQUEST and "512 KiB" in large.message
        assert bench.etcd.revision == before

    bench.run(story)


def test_what_another_module_has_is_refused() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml("one", "/srv/x"))
        error = await refusal(calls.apply(toml("two", "/srv/x/below")))
        assert error.kind is ErrorKind.BAD_REQUEST and "module one" in error.message
        assert bench.view.keys.modules() == ["one"]

    bench.run(story)


def test_two_operators_at_once_cannot_make_a_conflict() -> None:
    bench = Bench("a", "b")

    class Rival(FakeStore):
        """Another agent's operator is faster, once."""

        raced = False

        async def commit(self, txn: Txn) -> TxnResult:
            if not self.raced:
                self.raced = True
                await Calls(bench).apply(toml("rival", "/srv/db"))
            return await super().commit(txn)

    async def story() -> None:
        late = Calls(bench)
        late.handlers = ModuleHandlers(type(bench.seat)("a", "1", bench.view, Rival(bench.etcd), bench.seat.modules))
        error = await refusal(late.apply(toml()))
        assert "module rival" in error.message
        assert bench.view.keys.modules() == ["rival"]

    bench.run(story)


def test_directories_of_a_module_that_has_run_stay() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        bench.put(KEYS.module("db").insync, InsyncRecord(1, 1, "a", (Holder("a", "boot", "i"),)))
        await bench.until(lambda: bench.view.keys.insync("db") is not None)
        error = await refusal(calls.apply(toml(directory="/srv/other")))
        assert error.kind is ErrorKind.REFUSED and "/srv/db" in error.message

    bench.run(story)


def test_a_started_node_cannot_be_left_out() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        await calls.desired(Run.STARTED)
        error = await refusal(calls.apply(toml().replace('["a", "b"]', '["a", "c"]')))
        assert error.kind is ErrorKind.REFUSED and "started on b" in error.message

    bench.run(story)


def test_desired_is_of_all_nodes_or_of_those_named_and_keeps_switches() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        bench.put(KEYS.module("db").desired("a"), DesiredRecord(Run.STOPPED, {"failover": "off"}))
        assert (await calls.desired(Run.STARTED)).nodes == ("a", "b")
        assert bench.view.keys.desired("db", "a") == DesiredRecord(Run.STARTED, {"failover": "off"})
        await calls.desired(Run.STOPPED, "b")
        assert bench.view.keys.desired("db", "b") == DesiredRecord(Run.STOPPED)
        before = bench.etcd.revision
        await calls.desired(Run.STOPPED, "b")
        assert bench.etcd.revision == before
        error = await refusal(calls.desired(Run.STARTED, "x"))
        assert error.kind is ErrorKind.NOT_FOUND and "a, b" in error.message

    bench.run(story)


def test_a_module_is_removed_only_when_it_is_known_to_be_stopped() -> None:
    bench = Bench("a")
    calls = Calls(bench)

    async def story() -> None:
        assert (await refusal(calls.remove())).kind is ErrorKind.NOT_FOUND
        await calls.apply(toml())
        await calls.desired(Run.STARTED)
        assert "started on a, b" in (await refusal(calls.remove())).message
        await calls.desired(Run.STOPPED)
        assert "agent of b is not registered" in (await refusal(calls.remove())).message
        bench.put(KEYS.module("db").member("a"), member("a"))
        await bench.until(lambda: KEYS.module("db").member("a") in bench.view.kvs)
        assert "started on a" in (await refusal(calls.remove("b"))).message
        bench.etcd.commit_now(Txn((), (Delete(KEYS.module("db").member("a")),)))
        await bench.until(lambda: KEYS.module("db").member("a") not in bench.view.kvs)
        await calls.remove("b")
        assert bench.view.keys.modules() == [] and bench.etcd.range_now(KEYS.modules_prefix).kvs == {}

    bench.run(story)


def test_a_node_that_is_there_is_not_gone() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        await calls.desired(Run.STARTED, "b")
        assert "started on b" in (await refusal(calls.remove("b"))).message

    bench.run(story)


def test_before_there_is_an_identity_nothing_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.runtime.handlers_modules.SEE_S", 0.0)
    bench = Bench("a")
    bench.etcd.commit_now(Txn((), (Delete(KEYS.identity),)))

    async def story() -> None:
        assert (await refusal(Calls(bench).apply(toml()))).kind is ErrorKind.STORE_UNREACHABLE

    bench.run(story)


def test_an_unanswered_apply_raises_what_the_socket_tells_as_unknown() -> None:
    bench = Bench("a")

    async def story() -> None:
        bench.store.lose_reply(Execution.LATER)
        with pytest.raises(IndefiniteFailure):
            await Calls(bench).apply(toml())

    bench.run(story)


def test_that_nothing_has_to_be_done_is_not_said_from_old_news() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        await calls.desired(Run.STARTED)
        assert (await calls.desired(Run.STARTED)).nodes == ("a", "b")
        bench.etcd.advance(11)
        assert not bench.view.reachable
        for again in (calls.desired(Run.STARTED), calls.apply(toml())):
            assert (await refusal(again)).kind is ErrorKind.STORE_UNREACHABLE

    bench.run(story)
