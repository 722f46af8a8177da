"""module.apply, module.remove, desired, switch: what is refused, and that nothing is written that was not judged."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.adapters import disk_identities
from agent.runtime.colleagues import Nobody
from agent.runtime.handlers_modules import ModuleHandlers
from agent.runtime.handlers_state import StateHandlers
from manager.model.api import ErrorKind
from manager.model.api_modules import (
    ApplyArguments,
    ApplyResult,
    DesiredArguments,
    DesiredResult,
    RemoveArguments,
    ShowArguments,
    Switch,
    SwitchArguments,
    SwitchResult,
)
from manager.model.codec import encode
from manager.model.config import LARGEST_BYTES
from manager.model.errors import IndefiniteFailure
from manager.model.reasons import Reason
from manager.model.records import (
    ClusterIdentity,
    DesiredRecord,
    DiskIdentity,
    Holder,
    InsyncRecord,
    MemberRecord,
)
from manager.model.states import ModuleState, Readiness, Run, Setting
from manager.store.api import Delete, Put, StoreUnreachable, Txn, TxnResult
from manager.store.fake_store import Execution, FakeStore, Link
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml


class Calls:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.handlers = ModuleHandlers(bench.seat)

    async def apply(self, text: str, scripts: dict[str, str] | None = None) -> ApplyResult:
        return await self.handlers.apply(ApplyArguments(text, scripts or {}), ROOT, self.bench.report)

    async def desired(self, run: Run, *nodes: str) -> DesiredResult:
        return await self.handlers.desired(DesiredArguments("db", run, nodes), ROOT, self.bench.report)

    async def switch(self, switch: Switch, setting: Setting, *nodes: str) -> SwitchResult:
        return await self.handlers.switch(SwitchArguments("db", switch, setting, nodes), ROOT, self.bench.report)

    async def adopt(self, text: str) -> ApplyResult:
        return await self.handlers.apply(ApplyArguments(text, {}, adopt=True), ROOT, self.bench.report)

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
        folder = await StateHandlers(bench.seat, Nobody()).show(ShowArguments("db"), ROOT, bench.report)
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


def test_an_address_of_a_registered_node_is_refused() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        error = await refusal(calls.apply(toml(more='[[address]]\nip = "10.0.0.1/24"\n')))
        assert error.kind is ErrorKind.BAD_REQUEST and "which node b has by itself" in error.message
        assert bench.view.keys.modules() == []

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


def test_an_etcd_that_elects_its_leader_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.runtime.handling.RETRY_S", 0.0)
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def after_a_while(call: Coroutine[Any, Any, Any]) -> Any:
        bench.store.set_link(Link.DOWN)
        asked = asyncio.ensure_future(call)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not asked.done()
        bench.store.set_link(Link.UP)
        return await asked

    async def story() -> None:
        assert (await after_a_while(calls.apply(toml()))).created
        assert (await after_a_while(calls.desired(Run.STARTED))).nodes == ("a", "b")
        # It was wanted already, which is known again only when etcd answers.
        assert (await after_a_while(calls.desired(Run.STARTED))).nodes == ("a", "b")

    bench.run(story)


def test_an_etcd_that_takes_nothing_is_waited_for_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.runtime.handling.ELECTED_S", 0.0)
    bench = Bench("a")

    async def story() -> None:
        bench.store.set_link(Link.DOWN)
        with pytest.raises(StoreUnreachable):
            await Calls(bench).apply(toml())
        bench.store.set_link(Link.UP)
        await bench.until(lambda: bench.view.reachable)
        assert not bench.seat.is_applied("db")

    bench.run(story)


def test_that_nothing_has_to_be_done_is_not_said_from_old_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.runtime.handling.ELECTED_S", 0.0)
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


def test_a_switch_survives_starts_and_stops_and_is_shown() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        await calls.desired(Run.STARTED)
        assert (await calls.switch(Switch.FAILOVER, Setting.OFF)).nodes == ("a", "b")
        await calls.switch(Switch.BOOT, Setting.OFF, "b")
        await calls.desired(Run.STOPPED, "b")
        await calls.desired(Run.STARTED, "b")
        shown = bench.seat.module_view("db")
        assert shown.maintenance and not shown.failover_off
        assert [n.boot for n in shown.nodes] == [Setting.PREV, Setting.OFF]
        assert bench.view.keys.desired("db", "b") == DesiredRecord(Run.STARTED, {"failover": "off", "boot": "off"})
        before = bench.etcd.revision
        await calls.switch(Switch.FAILOVER, Setting.OFF)
        assert bench.etcd.revision == before
        await calls.switch(Switch.FAILOVER, Setting.ON)
        assert not bench.seat.module_view("db").maintenance
        unknown = await refusal(calls.switch(Switch.BOOT, Setting.OFF, "zz"))
        assert unknown.kind is ErrorKind.NOT_FOUND
        no_such = await refusal(calls.switch(Switch.FAILOVER, Setting.PREV))
        assert no_such.kind is ErrorKind.BAD_REQUEST

    bench.run(story)


def test_a_start_at_boot_is_on_off_or_as_it_was_which_needs_no_entry() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        for setting, switches in ((Setting.ON, {"boot": "on"}), (Setting.OFF, {"boot": "off"}), (Setting.PREV, {})):
            await calls.switch(Switch.BOOT, setting, "a")
            assert bench.view.keys.desired("db", "a") == DesiredRecord(Run.STOPPED, switches)
            assert [n.boot for n in bench.seat.module_view("db").nodes] == [setting, Setting.PREV]

    bench.run(story)


def test_one_that_was_held_at_boot_says_so_until_an_operator_starts_or_stops_it() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        bench.put(KEYS.module("db").desired("b"), DesiredRecord(Run.STOPPED, {"boot": "off", "stopped_at": "boot"}))
        await bench.until(lambda: bench.view.keys.desired("db", "b") is not None)
        held = bench.seat.module_view("db").on("b")
        assert held is not None and held.reason == Reason.BOOT_OFF
        await calls.desired(Run.STARTED, "b")
        assert bench.view.keys.desired("db", "b") == DesiredRecord(Run.STARTED, {"boot": "off"})

    bench.run(story)


def vouch(directory: Path, cluster: str, module: str) -> None:
    private = directory / disk_identities.PRIVATE_DIRECTORY
    private.mkdir(parents=True, exist_ok=True)
    (private / disk_identities.FILE).write_text(encode(DiskIdentity(cluster, module, 7, 900, "old")).ljust(1024))


def test_a_rebuilt_etcd_takes_the_identities_that_the_disks_carry(tmp_path: Path) -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        none = await refusal(calls.adopt(toml(directory=str(tmp_path))))
        assert "has not been a module's directory" in none.message
        vouch(tmp_path, "former", "m7")
        await calls.adopt(toml(directory=str(tmp_path)))
        config = bench.view.keys.config("db")
        assert config is not None and config.module_id == "m7"
        identity = bench.view.keys.record(ClusterIdentity, KEYS.identity)
        assert identity == ClusterIdentity("former", "now")
        again = await calls.adopt(toml(directory=str(tmp_path)))
        assert not again.changed

    bench.run(story)


def test_an_identity_is_not_adopted_over_what_may_be_in_use(tmp_path: Path) -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)
    vouch(tmp_path, "former", "m7")

    async def story() -> None:
        await calls.apply(toml("web", "/srv/web"))
        other = await refusal(calls.adopt(toml(directory=str(tmp_path))))
        assert "another cluster" in other.message and "web" in other.message
        vouch(tmp_path, "cid", "m7")
        await calls.apply(toml(directory=str(tmp_path)))
        taken = await refusal(calls.adopt(toml(directory=str(tmp_path), more="# changed\n")))
        assert "another one of that name" in taken.message
        vouch(tmp_path / "b", "cid", "m8")
        two = toml(directory=f"{tmp_path}/a").replace(f'"{tmp_path}/a"', f'"{tmp_path}/a", "{tmp_path}/b"')
        vouch(tmp_path / "a", "cid", "m7")
        differ = await refusal(calls.adopt(two.replace('"db"', '"db2"')))
        assert "belongs to another module" in differ.message

    bench.run(story)


SPOILED = "startd"


def _spoil(bench: Bench, key: str) -> None:
    bench.etcd.commit_now(Txn((), (Put(key, SPOILED),)))


def test_a_configuration_that_is_not_understood_is_applied_anew_with_the_id_that_the_module_has() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        made = bench.view.keys.config("db")
        assert made is not None
        _spoil(bench, KEYS.module("db").config)
        await bench.until(lambda: bench.view.keys.config("db") is None)
        error = await refusal(calls.apply(toml()))
        assert (error.kind, "--adopt" in error.remedy) == (ErrorKind.REFUSED, True)
        bench.modules.last["db"] = made
        again = await calls.apply(toml())
        now = bench.view.keys.config("db")
        assert now is not None and (now.module_id, now.generation) == (made.module_id, 3)
        assert (again.changed, again.created) == (True, False)

    bench.run(story)


def test_one_that_is_applied_over_what_is_not_understood_is_no_generation_that_another_node_may_run_by() -> None:
    """An agent that begins knows the one by which the module runs here; others may have been applied since."""
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        made = bench.view.keys.config("db")
        assert made is not None
        await calls.apply(toml(), {"prestart": "#!/bin/sh\n"})
        await calls.apply(toml(), {"prestart": "#!/bin/dash\n"})
        _spoil(bench, KEYS.module("db").config)
        await bench.until(lambda: bench.view.keys.config("db") is None)
        bench.modules.last["db"] = made
        await calls.apply(toml(), {"prestart": "#!/bin/bash\n"})
        now = bench.view.keys.config("db")
        assert now is not None and now.generation > 3

    bench.run(story)


def test_what_is_wanted_and_not_understood_is_written_anew_by_a_start_and_not_judged_by_a_switch() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        await calls.desired(Run.STARTED)
        _spoil(bench, KEYS.module("db").desired("a"))
        await bench.until(lambda: bench.view.keys.desired("db", "a") is None)
        error = await refusal(calls.switch(Switch.FAILOVER, Setting.OFF))
        assert error.kind is ErrorKind.REFUSED and "mirrorfarm start db --node a" in error.remedy
        assert "is started on a" in (await refusal(calls.remove())).message
        view = bench.seat.module_view("db")
        assert [(u.kind, u.node) for u in view.unreadable] == [("desired", "a")]
        a = view.on("a")
        assert a is not None and a.reason == Reason.RECORD_UNREADABLE
        await calls.desired(Run.STARTED, "a")
        assert bench.view.keys.desired("db", "a") == DesiredRecord(Run.STARTED)
        assert bench.seat.module_view("db").unreadable == ()

    bench.run(story)


def test_what_nobody_has_understood_is_not_said_to_be_started_anywhere() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        _spoil(bench, KEYS.module("db").config)
        await bench.until(lambda: bench.seat.is_applied("db"))
        for asked in (
            calls.desired(Run.STARTED), calls.desired(Run.STARTED, "a"), calls.switch(Switch.FAILOVER, Setting.OFF)
        ):  # fmt: skip
            error = await refusal(asked)
            assert "db in etcd is not understood" in error.message and "mirrorfarm why db" in error.remedy
        assert (await calls.desired(Run.STOPPED)).nodes == (), "before it is removed"
        await calls.remove()

    bench.run(story)


def test_a_module_is_started_and_shown_by_the_last_configuration_that_was_understood() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        made = bench.view.keys.config("db")
        assert made is not None
        bench.modules.last["db"] = made
        _spoil(bench, KEYS.module("db").config)
        await bench.until(lambda: bench.view.keys.config("db") is None)
        assert (await calls.desired(Run.STARTED)).nodes == ("a", "b")
        assert [n.node for n in bench.seat.module_view("db").nodes] == ["a", "b"]

    bench.run(story)


def test_what_another_module_has_by_its_last_configuration_is_refused() -> None:
    """It runs by that: two modules over one directory would be two copies in one."""
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml("one", "/srv/x"))
        made = bench.view.keys.config("one")
        assert made is not None
        bench.modules.last["one"] = made
        _spoil(bench, KEYS.module("one").config)
        await bench.until(lambda: bench.view.keys.config("one") is None)
        error = await refusal(calls.apply(toml("two", "/srv/x/below")))
        assert error.kind is ErrorKind.BAD_REQUEST and "module one" in error.message

    bench.run(story)


def test_directories_of_a_module_stay_while_it_is_not_understood_which_copy_is_whole() -> None:
    bench = Bench("a", "b")
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        _spoil(bench, KEYS.module("db").insync)
        await bench.until(lambda: KEYS.module("db").insync in bench.view.kvs)
        error = await refusal(calls.apply(toml(directory="/srv/other")))
        assert error.kind is ErrorKind.REFUSED and "/srv/db" in error.message

    bench.run(story)
