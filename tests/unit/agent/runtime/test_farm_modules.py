"""A farm module in the cluster: what is applied and what is refused, and what this node does with it."""

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from agent.adapters.application import Application
from agent.adapters.cgroups import Cgroup, module_cgroup
from agent.adapters.link_settings import LinkSettings
from agent.adapters.links import LinkWatch
from agent.adapters.marks import Marks
from agent.adapters.netlink import Netlink
from agent.adapters.probing import Probing
from agent.adapters.services import SystemdServices
from agent.core.commands import Prepare, RunContext, StartApplication
from agent.core.events import Killed
from agent.core.farm.settings import DEAD_AFTER_NS
from agent.runtime import building
from agent.runtime.building import Applications, Surroundings, settings_of
from agent.runtime.farm_building import make_farm
from agent.runtime.handlers_modules import ModuleHandlers
from agent.runtime.lease_keeper import LeaseFile, LeaseKeeper
from agent.runtime.modules import Modules
from agent.runtime.places import Places
from agent.runtime.running_config import RunningConfig
from manager.model.api import ErrorKind
from manager.model.api_modules import ApplyArguments, ApplyResult, RemoveArguments, RemoveResult
from manager.model.codec import encode
from manager.model.config import AgentConfig, FarmConfig, PathsConfig, application_of, parse_module
from manager.model.farm_resources import farm_resources
from manager.model.records import BOOT, DesiredRecord, KnownNode, MemberRecord, ModuleConfigRecord, NodeRecord
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import KeyValue, Snapshot
from manager.store.fake_store import Link
from tests.support.configurations import mirror
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml

ADDRESS = '\n[[address]]\nip = "10.77.0.100/24"\n'
FARM = f"""name = "web"
kind = "farm"
nodes = ["a", "b"]
{ADDRESS}
[[rule]]
protocol = "tcp"
ports = "80"
"""
SH = "#!/bin/sh\n"


def record(text: str, scripts: dict[str, str] | None = None, generation: int = 1) -> ModuleConfigRecord:
    return ModuleConfigRecord("m", generation, text, scripts or {}, "", "")


def around(bench: Bench, directory: Path) -> Surroundings:
    """Node a's, of real parts that have not been begun."""
    config = AgentConfig(
        cluster="c", node="a", paths=PathsConfig(*(str(directory / f.name) for f in dataclasses.fields(PathsConfig)))
    )
    places, marks = Places(config.paths), Marks(str(directory / "marks"))
    registration = NodeRecord("a", ("10.0.0.1",), "1", "boot", "i", 0)
    keeper = LeaseKeeper(
        bench.store,
        KEYS.node("a"),
        registration,
        config.lease,
        LeaseFile(places.lease_file),
        lambda: bench.view.point,
        lambda: bench.etcd.now_ns,
    )

    def on_fatal(what: str, error: BaseException) -> None:
        raise AssertionError(what) from error

    return Surroundings(
        config, places, "boot", 0, True, "10.0.0.1", str(directory / "cgroup"), bench.store, bench.view, keeper,
        Netlink(), LinkWatch(), marks, LinkSettings(places.link_settings),
        Probing("a", DEAD_AFTER_NS, lambda what, sender: None), on_fatal,
    )  # fmt: skip


class Calls:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.handlers = ModuleHandlers(bench.seat)

    async def apply(self, text: str, *, adopt: bool = False) -> ApplyResult:
        return await self.handlers.apply(ApplyArguments(text, {}, adopt), ROOT, self.bench.report)

    async def remove(self, module: str) -> RemoveResult:
        return await self.handlers.remove(RemoveArguments(module, ()), ROOT, self.bench.report)


@pytest.fixture
def bench() -> Bench:
    return Bench("a", "b")


def test_a_farm_is_applied_changed_and_removed(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        made = await calls.apply(FARM)
        assert (made.module, made.generation, made.created, made.nodes) == ("web", 1, True, ("a", "b"))
        changed = await calls.apply(FARM.replace('"80"', '"8080"'))
        assert (changed.generation, changed.created) == (2, False)
        assert await calls.remove("web") == RemoveResult("web", ())
        assert bench.view.keys.modules() == []

    bench.run(story)


def test_a_farms_address_is_refused_to_a_mirror(bench: Bench) -> None:
    bench.put(KEYS.module("web").config, record(FARM))

    async def story() -> None:
        refused = await refusal(Calls(bench).apply(toml(more=ADDRESS)))
        assert refused.kind is ErrorKind.BAD_REQUEST and "an address of module web" in refused.message

    bench.run(story)


def test_a_mirrors_address_is_refused_to_a_farm(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml(more=ADDRESS))
        refused = await refusal(calls.apply(FARM))
        assert refused.kind is ErrorKind.BAD_REQUEST and "an address of module db" in refused.message

    bench.run(story)


def test_an_address_that_a_farm_has_still_by_a_former_configuration_is_refused_to_others(bench: Bench) -> None:
    """Else both would answer for it, and the farm's next stop would take it from the other one."""
    calls, other = Calls(bench), FARM.replace('"web"', '"shop"')
    runs = MemberRecord(
        "b", ModuleState.UP, Readiness.READY, "", "boot", "", None, None,
        resources=farm_resources({"10.77.0.100": "02:00:00:00:00:02"}, generation=1),
    )  # fmt: skip

    async def story() -> None:
        await calls.apply(FARM)
        bench.put(KEYS.module("web").member("b"), runs)
        await calls.apply(FARM.replace(".100", ".101"))
        for wants_it in (other, toml(more=ADDRESS)):
            refused = await refusal(calls.apply(wants_it))
            assert refused.kind is ErrorKind.REFUSED and "web has 10.77.0.100 still on node b" in refused.message
        await calls.apply(FARM)
        await calls.apply(FARM.replace(".100", ".101"))
        bench.put(KEYS.module("web").member("b"), dataclasses.replace(runs, resources={}))
        await bench.until(lambda: "mac:" not in bench.view.kvs[KEYS.module("web").member("b")].value)
        await calls.apply(other)

    bench.run(story)


STATION = "02:00:00:00:00:99 on eth0"


def test_an_address_that_somebody_has_is_refused_unless_it_is_not_to_be_asked_for(bench: Bench) -> None:
    calls = Calls(bench)
    bench.modules.answering["10.77.0.100"] = STATION

    async def story() -> None:
        refused = await refusal(calls.apply(FARM))
        assert refused.kind is ErrorKind.BAD_REQUEST
        assert f"address[0].ip: found 10.77.0.100, for which {STATION} answers" in refused.message
        assert bench.view.keys.modules() == []
        await calls.apply(FARM.replace('/24"', '/24"\nprobe = false'))

    bench.run(story)


def test_an_address_that_the_module_has_already_is_answered_for_by_its_own_director(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(FARM)
        bench.modules.answering |= {"10.77.0.100": STATION, "10.77.0.101": STATION}
        changed = await calls.apply(FARM.replace('"80"', '"8080"'))
        assert changed.generation == 2
        more = ADDRESS.replace("100", "101") + '[[rule]]\nprotocol = "udp"\nports = "53"\n'
        refused = await refusal(calls.apply(FARM + more))
        assert "10.77.0.101, for which" in refused.message and "10.77.0.100" not in refused.message

    bench.run(story)


WHY = "no address of a link is of the same subnet: 10.0.0.1/24 on eth0"


def test_an_address_that_the_node_where_it_is_applied_has_no_link_for_is_refused(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        bench.modules.nowhere["10.77.0.100"] = WHY
        refused = await refusal(calls.apply(FARM))
        assert refused.kind is ErrorKind.BAD_REQUEST
        assert f"address[0].ip: found 10.77.0.100, which a could not have: {WHY}" in refused.message
        assert bench.view.keys.modules() == []
        # Of the links of others it knows nothing.
        await calls.apply(FARM.replace('"a", "b"', '"b", "c"'))

    bench.put(KEYS.known("c"), KnownNode("c", (), "boot", "now"))
    bench.run(story)


def test_what_a_farm_has_already_may_be_changed_while_its_link_is_away(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(FARM)
        bench.modules.nowhere |= {"10.77.0.100": WHY, "10.78.0.100": WHY}
        assert (await calls.apply(FARM.replace('"80"', '"8080"'))).generation == 2
        refused = await refusal(calls.apply(FARM + ADDRESS.replace("77", "78")))
        assert "address[1].ip: found 10.78.0.100, which a could not have" in refused.message
        assert "10.77.0.100" not in refused.message
        refused = await refusal(calls.apply(FARM.replace('/24"', '/24"\ninterface = "eth9"')))
        assert "address[0].ip: found 10.77.0.100, which a could not have" in refused.message

    bench.run(story)


def test_what_is_wrong_by_itself_is_said_before_anybody_is_asked(bench: Bench) -> None:
    bench.put(KEYS.module("other").config, record(FARM.replace('"web"', '"other"')))
    bench.modules.answering["10.77.0.100"] = STATION

    async def story() -> None:
        refused = await refusal(Calls(bench).apply(FARM))
        assert "an address of module other" in refused.message and STATION not in refused.message

    bench.run(story)


def test_a_node_that_has_never_been_there_is_refused(bench: Bench) -> None:
    calls, more = Calls(bench), FARM.replace('"b"]', '"b", "z"]')

    async def story() -> None:
        refused = await refusal(calls.apply(more))
        assert refused.kind is ErrorKind.BAD_REQUEST
        assert 'nodes[2]: found "z", and no node of that name has been in the cluster; allowed: a, b' in refused.message
        bench.put(KEYS.known("z"), KnownNode("z", ("10.0.0.9",), "boot", ""))
        await bench.until(lambda: KEYS.known("z") in bench.view.kvs)
        await calls.apply(more)

    bench.run(story)


def test_a_module_does_not_become_one_of_another_kind(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml("web"))
        refused = await refusal(calls.apply(FARM))
        assert refused.kind is ErrorKind.REFUSED and "is a mirror, and cannot become a farm" in refused.message
        await calls.remove("web")
        await calls.apply(FARM)
        refused = await refusal(calls.apply(toml("web")))
        assert "is a farm, and cannot become a mirror" in refused.message

    bench.run(story)


def test_a_farm_has_nothing_that_could_be_adopted(bench: Bench) -> None:
    async def story() -> None:
        refused = await refusal(Calls(bench).apply(FARM, adopt=True))
        assert refused.kind is ErrorKind.REFUSED and "is a farm: it keeps nothing on disks" in refused.message
        assert bench.view.keys.modules() == []

    bench.run(story)


def test_a_restart_of_the_application_takes_what_is_its_own_of_a_changed_module(bench: Bench, tmp_path: Path) -> None:
    applications = Applications(around(bench, tmp_path), "a", "m")
    key = KEYS.module("web").config

    async def story() -> None:
        assert applications.changed() is None
        applications.of(application_of(parse_module(FARM, {})))
        assert applications.changed() is None

        async def put(changed: ModuleConfigRecord) -> None:
            bench.put(key, changed)
            await bench.until(lambda: bench.view.keys.config("web") == changed)

        for same in (record(FARM), record(FARM.replace('"80"', '"81"'), generation=2), record("name = 1")):
            await put(same)
            assert applications.changed() is None
        for other in (record(FARM, {"start_both": SH}), record(FARM + "[env]\nX = '1'\n", {"start_both": SH})):
            await put(dataclasses.replace(other, module_id="another"))
            assert applications.changed() is None
            await put(other)
            assert applications.changed() is not None
            assert applications.changed() is None

    bench.run(story)


@pytest.mark.parametrize("to_services", [True, False])
def test_what_a_warden_guards_stays_in_the_control_group_that_it_was_told(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_services: bool
) -> None:
    """Else it would live on past the deadline, in the plain directories."""
    monkeypatch.setattr(building, "service_manager", SystemdServices)
    applications = Applications(around(bench, tmp_path), "a", "m", guarded=True)
    by_scripts, by_services = record(toml(), {"start_prim": SH}), record(toml(more='services = ["one"]\n'))
    before, after = (by_scripts, by_services) if to_services else (by_services, by_scripts)
    key = KEYS.module("db").config

    async def changed_to(other: ModuleConfigRecord) -> Application | None:
        bench.put(key, other)
        await bench.until(lambda: bench.view.keys.config("db") == other)
        return applications.changed()

    async def story() -> None:
        made = applications.of(application_of(parse_module(before.toml, before.scripts)))
        assert await changed_to(after) is None and applications.changed() is None
        other = await changed_to(dataclasses.replace(before, toml=before.toml + "[env]\nX = '1'\n"))
        assert other is not None and other.cgroup == made.cgroup

    bench.run(story)


def test_a_mirrors_directories_stay_until_it_is_started_anew(bench: Bench, tmp_path: Path) -> None:
    applications = Applications(around(bench, tmp_path), "a", "m")
    bench.put(KEYS.module("db").config, record(toml(directory="/srv/other")))

    async def story() -> None:
        applications.of(application_of(parse_module(toml(), {})))
        assert applications.changed() is None

    bench.run(story)


def depending(*modules: str) -> str:
    listed = ", ".join(f'"{name}"' for name in modules)
    return FARM.replace("nodes =", f"depends = [{listed}]\nnodes =")


def test_what_a_module_depends_on_must_be_there_and_must_not_wait_for_it(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        refused = await refusal(calls.apply(depending("db")))
        assert refused.kind is ErrorKind.BAD_REQUEST and '"db", and there is no such module' in refused.message
        await calls.apply(toml())
        await calls.apply(depending("db"))
        refused = await refusal(calls.apply(toml().replace("kind", 'depends = ["web"]\nkind')))
        assert refused.kind is ErrorKind.BAD_REQUEST and "db -> web -> db" in refused.message

    bench.run(story)


def test_a_module_that_another_one_depends_on_is_not_removed(bench: Bench) -> None:
    calls = Calls(bench)

    async def story() -> None:
        await calls.apply(toml())
        await calls.apply(depending("db"))
        refused = await refusal(calls.remove("db"))
        assert refused.kind is ErrorKind.REFUSED and "Without db the application of web" in refused.message
        assert bench.view.keys.modules() == ["db", "web"]
        await calls.apply(FARM)
        await calls.remove("db")
        assert bench.view.keys.modules() == ["web"]

    bench.run(story)


def test_a_mirrors_core_is_told_what_it_depends_on(bench: Bench, tmp_path: Path) -> None:
    text = toml(more='depends = ["store", "queue"]\n')
    assert settings_of(around(bench, tmp_path), "cluster", record(text), mirror(text)).depends == ("store", "queue")


def test_an_application_is_told_at_each_start_where_it_finds_what_it_depends_on(bench: Bench, tmp_path: Path) -> None:
    applications = Applications(around(bench, tmp_path), "a", "m")
    db, web = KEYS.module("db").config, KEYS.module("web").config
    bench.put(db, record(toml(more='\n[[address]]\nip = "10.77.0.120/24"\n')))
    bench.put(web, record(depending("db")))

    def found() -> dict[str, tuple[str, ...]]:
        current = applications.current
        assert current is not None
        return dict(current.depends)

    async def put(key: str, changed: ModuleConfigRecord) -> None:
        bench.put(key, changed)
        await bench.until(lambda: bench.view.kvs[key].value == encode(changed))

    async def story() -> None:
        applications.of(application_of(parse_module(depending("db"), {})))
        assert found() == {"db": ("10.77.0.120",)} and applications.changed() is None
        two = '\n[[address]]\nip = "10.77.0.121/24"\n[[address]]\nip = "fd77::121/64"\n'
        await put(db, record(toml(more=two), generation=2))
        assert applications.changed() is not None and applications.changed() is None
        assert found() == {"db": ("10.77.0.121", "fd77::121")}
        await put(db, record("name = 1", generation=3))
        assert applications.changed() is None, "what is not understood is not taken for without addresses"
        await put(web, record(FARM, generation=2))
        assert applications.changed() is None, "what it depends on counts from the module's next start"

    bench.run(story)


OF_ANOTHER_TEXT = record(FARM.replace('"80"', '"81"'))
"""As where etcd was restored from before the one that runs, and another one was applied there: it is the next one."""


@pytest.mark.parametrize("stored", [record(FARM), record(FARM, generation=2), OF_ANOTHER_TEXT])
def test_one_at_rest_is_not_told_to_run_by_a_configuration_that_was_replaced(
    bench: Bench, tmp_path: Path, stored: ModuleConfigRecord
) -> None:
    """As by a start that comes right after the stop, before it has been made anew."""
    here, module = around(bench, tmp_path), parse_module(FARM, {})
    assert isinstance(module, FarmConfig)
    modules = Modules(here)
    bench.put(KEYS.module("web").config, stored)

    async def story() -> None:
        farm = make_farm(here, "cluster", record(FARM), module, left=False)
        modules._runtimes["web"] = farm
        assert farm.has_stopped
        assert list(modules.seeing()) == ([farm] if stored == record(FARM) else [])

    bench.run(story)


def test_a_configuration_of_another_etcd_is_another_one_though_it_stands_at_the_same_revision(
    bench: Bench, tmp_path: Path
) -> None:
    """As where etcd was rebuilt, and all was entered there in the order of before."""
    here, module = around(bench, tmp_path), parse_module(FARM, {})
    assert isinstance(module, FarmConfig)
    modules, key = Modules(here), KEYS.module("web").config
    anew = dataclasses.replace(record(FARM), module_id="another")

    async def story() -> None:
        farm = make_farm(here, "cluster", record(FARM), module, left=False)
        modules._runtimes["web"] = farm
        bench.view.take(Snapshot(9, {key: KeyValue(encode(record(FARM)), 5, 5, 1)}, "former"))
        assert list(modules.seeing()) == [farm]
        bench.view.take(Snapshot(9, {key: KeyValue(encode(anew), 5, 5, 1)}, "rebuilt"))
        assert list(modules.seeing()) == []

    bench.run(story)


@pytest.mark.parametrize("module_id", ["m", "another"])
def test_another_module_of_its_name_has_a_farm_stop_here(bench: Bench, tmp_path: Path, module_id: str) -> None:
    """By that one's keys it would be wanted here, and share what comes by its own hash: each has one of its own."""
    here, module, keys = around(bench, tmp_path), parse_module(FARM, {}), KEYS.module("web")
    assert isinstance(module, FarmConfig)
    bench.put(keys.config, dataclasses.replace(record(FARM), module_id=module_id))
    bench.put(keys.desired("a"), DesiredRecord(Run.STARTED))

    async def story() -> None:
        farm = make_farm(here, "cluster", record(FARM), module, left=False)
        await bench.until(lambda: keys.desired("a") in bench.view.kvs)
        seen = farm._decoded().common
        assert seen.wants("a") is (Run.STARTED if module_id == "m" else Run.STOPPED)
        assert bool(seen.applied) is (module_id == "m")
        assert set(seen.nodes) == {"a", "b"}
        await farm.close()

    bench.run(story)


def test_what_is_still_looked_at_when_the_agent_ends_is_not_begun_any_more(bench: Bench, tmp_path: Path) -> None:
    """It would not be told that the agent ends, which would wait for it in vain, or be gone before it."""
    here = around(bench, tmp_path)
    os.makedirs(here.config.paths.run)
    modules = Modules(here)
    bench.put(KEYS.module("web").config, record(FARM))
    wish = KEYS.module("web").desired("a")
    bench.put(wish, DesiredRecord(Run.STOPPED, {BOOT: "on"}))

    async def story() -> None:
        await bench.until(lambda: wish in bench.view.kvs)
        bench.store.set_link(Link.FROZEN)
        managing = asyncio.ensure_future(modules.manage())
        modules.look()
        for _ in range(50):
            await asyncio.sleep(0)  # Until it waits for the switch's being written.
        await modules.stop()
        bench.store.set_link(Link.UP)
        await bench.until(lambda: bench.view.keys.desired("web", "a") == DesiredRecord(Run.STARTED, {BOOT: "on"}))
        for _ in range(50):
            await asyncio.sleep(0)
        assert modules.get("web") is None
        managing.cancel()
        await asyncio.wait([managing])

    bench.run(story)


def test_an_application_that_is_started_after_a_kill_is_noted_for_the_next_agent(bench: Bench, tmp_path: Path) -> None:
    """Else that one would take its addresses away, and start another one beside it."""
    here, module = around(bench, tmp_path), parse_module(FARM, {})
    assert isinstance(module, FarmConfig)
    note = RunningConfig(here.places.run("web"))

    async def story() -> None:
        farm = make_farm(here, "cluster", record(FARM), module, left=False)
        farm._begin(Prepare(RunContext(ModuleState.STOP, ModuleState.WAIT, "start", 0)))
        assert note.read() == record(FARM)
        farm.give(Killed())
        assert note.read() is None
        farm._begin(StartApplication(RunContext(ModuleState.WAIT, ModuleState.UP, "start", 0)))
        assert note.read() == record(FARM)
        await farm.close()

    bench.run(story)


def test_what_is_applied_while_a_module_is_still_looked_at_is_what_it_is_made_of(bench: Bench, tmp_path: Path) -> None:
    """It would be told of a start that came with it, and run by the former one, with its addresses and directories."""
    here = around(bench, tmp_path)
    os.makedirs(here.config.paths.run)
    modules, keys, newer = Modules(here), KEYS.module("web"), record(FARM.replace('"80"', '"81"'), generation=2)
    bench.put(keys.config, record(FARM))
    bench.put(keys.desired("a"), DesiredRecord(Run.STARTED, {BOOT: "off"}))
    made: list[ModuleConfigRecord] = []

    def seen() -> bool:
        runtime = modules.get("web")
        if runtime is not None:
            made.append(runtime.of)
        return bool(made)

    async def story() -> None:
        await bench.until(lambda: keys.desired("a") in bench.view.kvs)
        bench.store.set_link(Link.FROZEN)
        managing = asyncio.ensure_future(modules.manage())
        modules.look()
        for _ in range(50):
            await asyncio.sleep(0)  # Until it waits for the switch's being written.
        bench.put(keys.config, newer)
        bench.store.set_link(Link.UP)
        for _ in range(500):
            if seen():
                break
            await asyncio.sleep(0.01)
        assert made == [newer]
        await modules.stop()
        managing.cancel()
        await asyncio.wait([managing])

    bench.run(story)


def test_an_application_of_which_no_note_is_left_is_ended_before_another_one_is_started(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = around(bench, tmp_path)
    left = Path(module_cgroup("web", "app", here.cgroup_base).directory)
    left.mkdir(parents=True)
    kill = left / "cgroup.kill"
    kill.touch()
    monkeypatch.setattr(Cgroup, "populated", lambda self: not kill.read_text())

    async def story() -> None:
        modules = Modules(here)
        bench.put(KEYS.module("web").config, record(FARM))
        await bench.until(lambda: KEYS.module("web").config in bench.view.kvs)
        await modules._make("web", record(FARM))
        assert modules.get("web") is not None and kill.read_text() == "1"
        await modules.stop()

    bench.run(story)
