"""A cluster in memory with one agent's view of it, for tests of what answers from it and writes to it."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from agent.adapters.local_api import LocalCaller
from agent.api_view import LocalState
from agent.runtime.cluster_view import ClusterView
from agent.runtime.handling import Seat
from manager.model import asides
from manager.model.api import ApiError
from manager.model.api_snapshot import ReplicatorReport
from manager.model.api_verify import VerifyArguments
from manager.model.asides import AsideReport
from manager.model.codec import encode
from manager.model.config import AddressConfig
from manager.model.control import DiffReport, Progress, VerifyReport
from manager.model.keys import ClusterKeys
from manager.model.records import ClusterIdentity, ModuleConfigRecord, NodeRecord
from manager.store.api import Put, Txn
from manager.store.fake import FakeEtcd
from manager.store.fake_store import FakeStore

KEYS = ClusterKeys("c")
ROOT = LocalCaller(0, 0, frozenset())

TOML = """
name = "{name}"
kind = "mirror"
nodes = ["a", "b"]
directories = ["{directory}"]
"""


def toml(name: str = "db", directory: str = "/srv/db", more: str = "") -> str:
    return TOML.format(name=name, directory=directory) + more


class NoModules:
    """This node's runtime, without any module."""

    def __init__(self) -> None:
        self.answering: dict[str, str] = {}
        """Addresses that somebody has, and who."""
        self.nowhere: dict[str, str] = {}
        """Addresses for which this node has no link, and why."""
        self.last: dict[str, ModuleConfigRecord] = {}
        """What was understood last."""

    def local_state(self, module: str) -> LocalState:
        return LocalState()

    def last_config(self, module: str) -> ModuleConfigRecord | None:
        return self.last.get(module)

    async def verify(
        self, arguments: VerifyArguments, on_progress: Callable[[Progress], Awaitable[None]]
    ) -> VerifyReport:
        raise AssertionError("not asked for here")

    async def diff(self, module: str) -> DiffReport:
        raise AssertionError("not asked for here")

    async def aside(self, module: str, command: asides.Command) -> AsideReport:
        raise AssertionError("not asked for here")

    async def stations(self, addresses: Sequence[AddressConfig]) -> Mapping[str, str]:
        return {a.ip: self.answering[a.ip] for a in addresses if a.ip in self.answering}

    async def unplaced(self, addresses: Sequence[AddressConfig]) -> Mapping[str, str]:
        return {a.ip: self.nowhere[a.ip] for a in addresses if a.ip in self.nowhere}

    def replicator_report(self, module: str) -> ReplicatorReport:
        raise AssertionError("not asked for here")

    def switch_traffic(self, module: str, by: str, *, is_open: bool) -> bool:
        raise AssertionError("not asked for here")


class Bench:
    """The cluster, with agents registered on some nodes, and node a's seat."""

    def __init__(self, *registered: str, etcd: FakeEtcd | None = None) -> None:
        self.store = FakeStore(etcd)
        self.etcd = self.store.etcd
        self.view = ClusterView(KEYS, 10_000, lambda: self.etcd.now_ns)
        self.modules = NoModules()
        self.seat = Seat("a", "1", self.view, self.store, self.modules)
        self.reported: list[Any] = []
        self.put(KEYS.identity, ClusterIdentity("cid", "now"))
        for node in registered:
            self.put(KEYS.node(node), NodeRecord(node, ("10.0.0.1",), "1", f"boot-{node}", f"i-{node}", 0))

    def put(self, key: str, record: Any, lease: int = 0) -> None:
        self.etcd.commit_now(Txn((), (Put(key, encode(record), lease),)))

    async def report(self, progress: Any) -> None:
        self.reported.append(progress)

    def run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Play ``story`` while the view follows the store."""

        async def played() -> None:
            following = asyncio.ensure_future(self.view.follow(self.store))
            await self.until(lambda: self.view.revision > 0)
            try:
                await story()
            finally:
                following.cancel()
                await asyncio.wait([following])

        asyncio.run(played())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let others run until ``holds``, for a bounded number of turns."""
        for turn in itertools.count():
            if holds():
                return
            assert turn < 1000, "it does not come about"
            await asyncio.sleep(0)


async def refusal(call: Awaitable[Any]) -> ApiError:
    """The error that ``call`` must end with."""
    try:
        result = await call
    except ApiError as error:
        return error
    raise AssertionError(f"it was not refused: {result}")
