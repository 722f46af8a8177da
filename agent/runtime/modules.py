"""The modules of this node: one runtime for each that etcd has a configuration of, made anew when that changes at rest.

A changed configuration counts for a module from its next start on this node: a runtime keeps what it began with.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

import structlog

from agent.adapters.cgroups import module_cgroup
from agent.adapters.host import remove_leftover_mounts
from agent.api_view import LocalState
from agent.core import events
from agent.runtime.booting import Booting
from agent.runtime.building import Surroundings, longest_stop_ms, make_runtime
from agent.runtime.farm_building import make_farm
from agent.runtime.farm_runtime import FarmRuntime
from agent.runtime.identity import identity_of
from agent.runtime.member_state import stopping_member
from agent.runtime.module_runtime import ModuleRuntime
from agent.runtime.replicator_hand import KILL_SECONDS, answers
from agent.runtime.startup import Former, end_module
from agent.runtime.tasks import Tasks
from manager.model.api import ApiError, ErrorKind
from manager.model.config import AnyModule, FarmConfig, directories_of, parse_module
from manager.model.errors import ConfigError, MirrorfarmError
from manager.model.records import ModuleConfigRecord
from manager.model.states import Run
from manager.store.api import KeyValue
from manager.time_limit import time_limit

Runtime = ModuleRuntime | FarmRuntime

LOOK_S = 0.25
"""How long a look waits at the most: whether a module has come to rest is told by nobody."""
STOP_LOOK_S = 0.02
STOP_SLACK_S = 30.0
"""For a hand-over and the file systems, beside the applications' stops."""
SETTLE_S = 3.0
"""How long the agent's end waits for what etcd shall be told last."""


class Modules:
    """All runtimes, by module."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._runtimes: dict[str, Runtime] = {}
        self._former: dict[str, ModuleConfigRecord] = {}
        self._left: dict[str, ModuleConfigRecord] = {}
        """All that a former agent left running, until etcd has been heard."""
        self._resumed: dict[str, str] = {}
        """Farms that go on as a former agent ran them, with the id of their cluster, until etcd is heard."""
        self._left_out: dict[str, tuple[ModuleConfigRecord, str]] = {}
        """Module to the configuration that has no runtime here, and why; empty: another node's."""
        self._matched = False
        self._booting = Booting(around)
        self._decoded: dict[str, tuple[KeyValue, ModuleConfigRecord | None]] = {}
        self._look = asyncio.Event()
        self._tasks = Tasks(around.on_fatal)
        self._ending_s: dict[str, float] = {}
        """Modules that a former agent left and that are being ended, or were: how long their stop may take."""
        self._stopping = False
        self._log = structlog.get_logger()
        self.store_heard = False

    def expect(self, former: Former) -> None:
        """What a former agent left that may be adopted, if it answers, and once etcd was heard; the rest is ended."""
        self._former, self._left = dict(former.living), dict(former.living)
        for name in former.to_end:
            self._begin_end(name, 0.0)
        for name, record in former.living.items():
            if not isinstance(self._parsed(name, record)[0], FarmConfig):
                self._tasks.start(_asking(name), self._ask(name))

    async def _ask(self, name: str) -> None:
        """End a replicator that hangs with all that it holds: its warden hangs, too, and nobody else would so far."""
        cgroup = module_cgroup(name, "replicator", self._around.cgroup_base)
        if not await answers(self._around.places.run(name), cgroup) and name in self._former:
            self._log.error("replicator.hangs", module=name, of="former agent")
            self._end_former(name)

    def resume(self, cluster_id: str) -> None:
        """Go on with the farms that a former agent ran in this cluster, before etcd says whether they are to.

        Their members hear that what they have is being taken over; without that they would count as dead. Empty: the
        cluster is not known, and they wait for it.
        """
        for name, record in list(self._former.items()) if cluster_id else ():
            module, _ = self._parsed(name, record)
            if isinstance(module, FarmConfig):
                del self._former[name]
                self._resumed[name] = cluster_id
                self._runtimes[name] = runtime = make_farm(self._around, cluster_id, record, module, left=True)
                runtime.give(events.Tick())

    def all(self) -> Iterable[Runtime]:
        """Those that run now."""
        return tuple(self._runtimes.values())

    def seeing(self) -> Iterable[Runtime]:
        """Those that are told what etcd has.

        Of those resumed it is judged first whether they go on at all. And one that has stopped, and has another
        configuration than is stored, is about to be made anew: told of a start, it would run by the former one again.
        """
        there = {name: runtime for name, runtime in self._runtimes.items() if name not in self._resumed}
        configs = self._configs() if any(runtime.has_stopped for runtime in there.values()) else {}
        return tuple(r for name, r in there.items() if not (r.has_stopped and _is_former(r, configs.get(name))))

    def get(self, module: str) -> Runtime | None:
        """The one of ``module``."""
        return self._runtimes.get(module)

    def last_config(self, module: str) -> ModuleConfigRecord | None:
        """The configuration of ``module`` that was understood last; ``None``: none was since this agent began."""
        known = self._decoded.get(module)
        return None if known is None else known[1]

    def look(self) -> None:
        """Something has changed."""
        self._look.set()

    def local_state(self, module: str) -> LocalState:
        """What only this node knows of ``module``."""
        runtime = self._runtimes.get(module)
        if runtime is not None:
            return runtime.local_state()
        if self._tasks.running(_ending(module)):
            return LocalState(stopping_member(self._around.config.node, self._around.boot_id))
        return LocalState(detail=self._why_left_out(module))

    def not_here(self, module: str) -> ApiError:
        """There is no runtime of ``module``."""
        why = self._why_left_out(module)
        if why:
            return ApiError(
                ErrorKind.REFUSED,
                f"{module} cannot be run on this node: {why}",
                remedy=f"mirrorfarm why {module} says what to do.",
            )
        return ApiError(
            ErrorKind.REFUSED,
            f"{module} does not run on node {self._around.config.node}.",
            remedy=f"mirrorfarm state {module} shows its nodes: ask on one of them, or by mirrorfarm --node NODE.",
        )

    def _why_left_out(self, module: str) -> str:
        if module in self._decoded and self._decoded[module][1] is None:
            return "its configuration in etcd is not understood"
        return self._left_out[module][1] if module in self._left_out else ""

    async def manage(self) -> None:
        """Bring runtimes up and down until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with time_limit(LOOK_S):
                    await self._look.wait()
            self._look.clear()
            if self._around.view.revision and identity_of(self._around.view) and not self._stopping:
                await self._match()

    async def stop(self) -> None:
        """Stop every module on this node, with a hand-over where that can be; by force, what takes too long.

        What a former agent has left running, and could not be adopted yet since etcd was not heard, is ended at once.
        """
        self._stopping = True
        for name in list(self._former):
            self._end_former(name)
        loop = asyncio.get_running_loop()
        for runtime in self.all():
            runtime.give(events.AgentStopping())
        end = (
            loop.time()
            + STOP_SLACK_S
            + max((*(r.longest_stop_s for r in self.all()), *self._ending_s.values()), default=0.0)
        )
        while loop.time() < end and (self._ends or not all(r.at_rest for r in self.all())):
            await asyncio.sleep(STOP_LOOK_S)
        await self._tasks.cancel()
        for runtime in self.all():
            if not runtime.at_rest:
                self._log.error("module.killed", module=runtime.settings.module, reason="the agent ends")
                await runtime.kill()
        end = loop.time() + SETTLE_S
        while loop.time() < end and not all(r.settled for r in self.all()):
            await asyncio.sleep(STOP_LOOK_S)
        for runtime in self.all():
            await runtime.close()
        self._runtimes.clear()

    async def _match(self) -> None:
        """Make what is here what etcd has."""
        configs = self._configs()
        if not self._matched:
            self._matched = True
            self._left.clear()
            self._booting.begin(self._decoded)
            await self._judge_resumed(configs)
        for name, runtime in list(self._runtimes.items()):
            # Not before etcd has its last word: nobody would take back a member record that says it is still stopping.
            if _is_former(runtime, configs.get(name)) and runtime.at_rest and runtime.settled:
                await runtime.close()
                del self._runtimes[name]
        for name in [n for n in self._former if n not in configs]:
            self._end_former(name)
        # What a former agent left first: it serves until its deadline, and looking after another one may take as long.
        for name in sorted(configs, key=lambda name: name not in self._former):
            if name not in self._runtimes and not self._tasks.running(_ending(name)):
                await self._make(name, configs[name])

    async def _judge_resumed(self, configs: Mapping[str, ModuleConfigRecord]) -> None:
        """End those that are not this cluster's, or not to run here (any more): now that etcd was heard."""
        for name, cluster_id in list(self._resumed.items()):
            del self._resumed[name]
            runtime, record = self._runtimes[name], configs.get(name)
            now = (record.module_id, identity_of(self._around.view)) if record is not None else None
            if now == (runtime.of.module_id, cluster_id) and self._is_wanted(name):
                self._booting.settle(name)
                self._tell_all(runtime)
            else:
                await runtime.close()
                del self._runtimes[name]
                self._begin_end(name, runtime.longest_stop_s)

    def _is_wanted(self, name: str) -> bool:
        """Of one that a former agent left running: it is, where what etcd has is not understood."""
        view, node = self._around.view, self._around.config.node
        desired = view.keys.desired(name, node)
        if desired is None:
            return view.cluster.module(name).desired(node) in view.kvs
        return desired.run is Run.STARTED

    def _configs(self) -> dict[str, ModuleConfigRecord]:
        """Decoded once for each change: they may be large, and are looked at often.

        Of one that is not understood, the last one that was; else the one by which a former agent left it running.
        """
        view, found = self._around.view, {}
        for key, kv in view.kvs.items():
            module, _, rest = key.removeprefix(view.cluster.modules_prefix).partition("/")
            if rest == "config" and key.startswith(view.cluster.modules_prefix):
                known = self._decoded.get(module)
                if known is None or known[0] != kv:  # Its revision alone may be that of one in another etcd.
                    last = self._left.get(module) if known is None else known[1]
                    record = view.keys.config(module)
                    if record is None:
                        self._log.error("config.unreadable", module=module, key=key, revision=kv.mod_revision)
                    known = (kv, record or last)
                found[module] = known
        self._decoded = found
        return {name: record for name, (_, record) in found.items() if record is not None}

    async def _make(self, name: str, record: ModuleConfigRecord) -> None:
        await self._tasks.cancel(_asking(name))
        if self._tasks.running(_ending(name)):
            return
        running = self._former.get(name)
        if running is not None:
            if self._is_wanted(name) and running.module_id == record.module_id:
                record = running
                del self._former[name]
                self._booting.settle(name)
            else:
                self._end_former(name)
                return
        if running is None and not await self._booting.may_begin(name):
            return
        if name in self._left_out and self._left_out[name][0] == record:
            return
        module, why = self._parsed(name, record)
        if module is None:
            self._left_out[name] = (record, why)
            return
        self._left_out.pop(name, None)
        if running is None:
            await self._clear(name, directories_of(module))
        if self._stopping:
            return  # It has been told to nobody here that the agent ends, and who comes now would not hear of it.
        if running is None and self._configs().get(name) != record:
            self._look.set()
            return  # Another one was applied meanwhile: told of a start, it would run by the former one.
        runtime = self._runtime_of(record, module, left=running is not None)
        self._runtimes[name] = runtime
        self._tell_all(runtime)

    def _runtime_of(self, record: ModuleConfigRecord, module: AnyModule, *, left: bool) -> Runtime:
        """``left``: by a former agent, running, with this configuration."""
        cluster_id = identity_of(self._around.view)
        if isinstance(module, FarmConfig):
            return make_farm(self._around, cluster_id, record, module, left=left)
        return make_runtime(self._around, cluster_id, record, module, left=left)

    def _parsed(self, name: str, record: ModuleConfigRecord) -> tuple[AnyModule | None, str]:
        """``None``: it does not run on this node, or this release does not understand it: then also why."""
        try:
            parsed = parse_module(record.toml, record.scripts)
            module = parsed if self._around.config.node in parsed.nodes else None
        except ConfigError as error:
            self._log.error("module.refused", module=name, generation=record.generation, error=str(error))
            return None, str(error)
        return module, ""

    async def _clear(self, name: str, directories: tuple[str, ...]) -> None:
        """End what nobody has noted: an application of a former agent's, beside which another one would be started."""
        left = module_cgroup(name, "app", self._around.cgroup_base)
        try:
            if left.populated():
                self._log.error("application.found", module=name, processes=[p.command for p in left.processes()])
                await left.kill(KILL_SECONDS)
        except MirrorfarmError as failure:
            self._log.error("application.left", module=name, error=str(failure))
        try:
            removed = await remove_leftover_mounts(directories)
        except MirrorfarmError as failure:
            self._log.error("mounts.left", module=name, error=str(failure))
        else:
            if removed:
                self._log.info("mounts.removed", module=name, mounts=removed, of="former agent")

    def _tell_all(self, runtime: Runtime) -> None:
        """What the others have been told before."""
        keeper = self._around.keeper
        if self.store_heard:
            runtime.give(events.StoreHeard())
        if keeper.created_revision:
            runtime.lease_renewed(keeper.lease_id, keeper.deadline_ns)
        runtime.observed()

    def _end_former(self, name: str) -> None:
        module, _ = self._parsed(name, self._former.pop(name))
        self._begin_end(name, 0.0 if module is None else longest_stop_ms(module) / 1000)

    def _begin_end(self, name: str, longest_stop_s: float) -> None:
        """End what a former agent left; other modules need not wait until its scripts are done."""
        self._ending_s[name] = longest_stop_s
        self._tasks.start(_ending(name), end_module(self._around, name))

    @property
    def _ends(self) -> bool:
        """What a former agent left is not all ended yet."""
        return any(self._tasks.running(_ending(name)) for name in self._ending_s)


def _is_former(runtime: Runtime, record: ModuleConfigRecord | None) -> bool:
    """``runtime`` is not by the configuration that is stored; ``None``: by none, the module was removed.

    Id and generation do not tell: a restored etcd counts on from a generation of before, and one that was rebuilt from
    the first, with the id that the disks have kept.
    """
    return record != runtime.of


def _asking(module: str) -> str:
    return f"ask {module}"


def _ending(module: str) -> str:
    return f"end {module}"
