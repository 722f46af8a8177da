"""What an operator reads of a module in a situation, by all the shipped code that makes it: a node's core, the record
that it publishes, the agent's answer to ``why`` as it travels, and the words of the command line.

The node is ``a``, whose core a script plays (``tests.unit.agent.core.desk``); what others publish stands in the store.
"""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from agent.api_view import LocalState
from agent.core import telling
from agent.core.farm import telling as farm_telling
from agent.runtime.cluster_view import ClusterView
from agent.runtime.colleagues import Nobody
from agent.runtime.handlers_state import StateHandlers
from agent.runtime.handling import Seat
from manager.cli.render import state_table, why_text
from manager.cli.seat import make_console
from manager.model.api import StateArguments, StateResult, WhyArguments, WhyResult
from manager.model.codec import encode, from_plain, to_plain
from manager.model.keys import ModuleKeys
from manager.model.records import MemberRecord, ModuleConfigRecord
from manager.store.fake_store import FakeStore
from tests.unit.agent.core import desk as mirrors
from tests.unit.agent.core.farm import desk as farms
from tests.unit.agent.runtime.bench import ROOT, NoModules

MIRROR = """
name = "db"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]
"""
FARM = f"""
name = "web"
kind = "farm"
nodes = ["a", "b", "c"]
[[address]]
ip = "{farms.VIP}/24"
[[rule]]
protocol = "tcp"
ports = "80"
"""
WIDE = 4_000


@dataclass
class Scene:
    """A module as node ``a`` knows it."""

    desk: mirrors.Desk | farms.Desk
    local: LocalState = field(default_factory=LocalState)
    """What only this node's agent knows beside the record that its core publishes."""
    toml: str = ""
    """Beyond the least."""
    node: str = "a"
    """Of which it is asked."""
    reachable: bool = True
    """Whether etcd answers."""
    config: str = ""
    """What stands in etcd in the place of its configuration; then nothing of it runs here."""

    def why(self) -> str:
        """What ``mirrorfarm why`` prints, one line for each of its own."""
        return self._shown(lambda handlers: self._why(handlers))

    def state(self) -> str:
        """What ``mirrorfarm state`` prints."""
        return self._shown(lambda handlers: self._state(handlers))

    async def _why(self, handlers: StateHandlers) -> str:
        answer = await handlers.why(WhyArguments(self._name, self.node), ROOT, _nobody)
        return _printed(why_text(from_plain(WhyResult, to_plain(answer))))

    async def _state(self, handlers: StateHandlers) -> str:
        answer = await handlers.state(StateArguments(self._name), ROOT, _nobody)
        return _printed(state_table(from_plain(StateResult, to_plain(answer))))

    @property
    def _name(self) -> str:
        return "web" if isinstance(self.desk, farms.Desk) else "db"

    @property
    def _keys(self) -> ModuleKeys:
        return farms.KEYS if isinstance(self.desk, farms.Desk) else mirrors.KEYS

    def _shown(self, call: Callable[[StateHandlers], object]) -> str:
        least = FARM if isinstance(self.desk, farms.Desk) else MIRROR
        head, _, tables = least.partition("[[")
        text = f"{head}{self.toml}\n{'[[' if tables else ''}{tables}"
        config = self.config or encode(ModuleConfigRecord("module", 1, text, {}, "", ""))
        self.desk.put(self._keys.config, config)
        local = replace(self.local, member=None if self.config else self._record())

        class Modules(NoModules):
            def local_state(self, module: str) -> LocalState:
                return local if module in ("db", "web") else LocalState()

        async def told() -> str:
            store = FakeStore(self.desk.etcd)
            view = ClusterView(mirrors.CLUSTER, 10_000, lambda: self.desk.now_ns)
            following = asyncio.ensure_future(view.follow(store))
            while not view.revision:
                await asyncio.sleep(0)
            if not self.reachable:
                following.cancel()
                await asyncio.wait([following])
            try:
                return await call(StateHandlers(Seat("a", "1", view, store, Modules()), Nobody()))  # type: ignore[misc, no-any-return]
            finally:
                following.cancel()
                await asyncio.wait([following])

        return asyncio.run(told())

    def _record(self) -> MemberRecord | None:
        """As this node's core publishes it."""
        if isinstance(self.desk, farms.Desk):
            return farm_telling.member(self.desk.state, self.desk.now_ns)
        return telling.member(self.desk.state, self.desk.now_ns)


def published(desk: mirrors.Desk, node: str = "b") -> MemberRecord:
    """What a node's core publishes in ``desk``, as that of ``node``: all cores are alike."""
    record = telling.member(desk.state, desk.now_ns)
    assert record is not None
    return replace(record, node=node)


def is_published(scene: Scene, record: MemberRecord) -> Scene:
    """``scene``, in which another node has published ``record``."""
    assert isinstance(scene.desk, mirrors.Desk)
    scene.desk.put(mirrors.KEYS.member(record.node), encode(record), mirrors.OTHER_LEASE)
    return scene


async def _nobody(_: object) -> None:
    """No call here reports progress."""


def _printed(what: object) -> str:
    file = io.StringIO()
    console = make_console(file)
    console.width = WIDE
    console.print(what)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
