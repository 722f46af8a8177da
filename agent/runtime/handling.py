"""What the handlers of the local socket share: the view, the store, this node's modules, and how errors are told."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.api_view import LocalState, module_view, parsed_config
from agent.runtime.cluster_view import ClusterView
from manager.logs.levels import Levels
from manager.model import asides
from manager.model.api import UNCHANGED, ApiError, ErrorKind, ModuleView
from manager.model.api_snapshot import ReplicatorReport
from manager.model.api_verify import VerifyArguments
from manager.model.asides import AsideReport
from manager.model.config import AddressConfig, AnyModule
from manager.model.control import DiffReport, Progress, VerifyReport
from manager.model.keys import ModuleKeys
from manager.model.log_words import LogLevel
from manager.model.records import DesiredRecord, ModuleConfigRecord
from manager.store.api import Guard, KeyAbsent, ModRevisionIs, Store, StoreUnreachable, Txn, TxnResult

SEE_S = 2.0
"""How long an answer waits for the view to show what was just written, so that the next question sees it."""

ELECTED_S = 5.0
"""So long an operator's change waits for an etcd that takes nothing: the election of a leader takes a second or two."""

RETRY_S = 0.2

ATTEMPTS = 5
"""So often a change is tried again when someone else's came in between."""


class LocalModules(Protocol):
    """What only this node's own runtime knows and can."""

    def local_state(self, module: str) -> LocalState:
        """The module on this node, with etcd or without."""

    def last_config(self, module: str) -> ModuleConfigRecord | None:
        """The module's configuration, as this agent has understood it last; ``None``: not since it began."""

    async def verify(
        self, arguments: VerifyArguments, on_progress: Callable[[Progress], Awaitable[None]]
    ) -> VerifyReport:
        """Compare both copies, and repair if that is asked.

        Raises:
            ApiError: this node is not PRIM, a comparison runs already, or it came to no end.
        """

    async def diff(self, module: str) -> DiffReport:
        """How much a resync would look at.

        Raises:
            ApiError: this node is neither PRIM nor ALONE, or there was no answer.
        """

    async def aside(self, module: str, command: asides.Command) -> AsideReport:
        """Have this node's replicator do something about what it has set aside.

        Raises:
            ApiError: the module is not started here, it was not done, or it is not known whether it was.
        """

    async def stations(self, addresses: Sequence[AddressConfig]) -> Mapping[str, str]:
        """Those of ``addresses`` that somebody answers for on this node's links, with who does, in words.

        Raises:
            DefiniteFailure, IndefiniteFailure: the kernel could not be asked for its links.
        """

    async def unplaced(self, addresses: Sequence[AddressConfig]) -> Mapping[str, str]:
        """Those of ``addresses`` that have no link of this node to be on, with the reason, in words.

        Raises:
            DefiniteFailure, IndefiniteFailure: the kernel could not be asked for its links.
        """

    def replicator_report(self, module: str) -> ReplicatorReport:
        """What this node's replicator has said last of itself.

        Raises:
            ApiError: the module does not run here, is a farm, or nothing was said.
        """

    def switch_traffic(self, module: str, by: str, *, is_open: bool) -> bool:
        """Open or close this node's traffic of a farm, as ``by`` asks; whether that is another state than before.

        Raises:
            ApiError: its scripts have no say in that, the application does not run here, or it cannot be noted.
        """


@dataclass(frozen=True, slots=True)
class Seat:
    """What the handlers work with."""

    node: str
    software: str
    view: ClusterView
    store: Store
    modules: LocalModules
    levels: Levels = field(default_factory=lambda: Levels(LogLevel.INFO))
    """From which level on this agent logs."""

    def keys_of(self, module: str) -> ModuleKeys:
        """The keys of ``module``."""
        return self.view.cluster.module(module)

    def revision_guard(self, key: str) -> Guard:
        """That ``key`` is as the view has it, or as absent."""
        kv = self.view.kvs.get(key)
        return KeyAbsent(key) if kv is None else ModRevisionIs(key, kv.mod_revision)

    def config(self, module: str) -> ModuleConfigRecord:
        """The module as it was applied; as it was last, where that is not understood now.

        Raises:
            ApiError: etcd has not been heard yet, or has no such module, or none that was ever understood here.
        """
        self.heard()
        record = self.known_config(module)
        if record is None:
            raise not_understood(module) if self.is_applied(module) else unknown_module(module)
        return record

    def is_applied(self, module: str) -> bool:
        """Whether etcd has a configuration of ``module``, be it understood or not."""
        return self.keys_of(module).config in self.view.kvs

    def known_config(self, module: str) -> ModuleConfigRecord | None:
        """As :meth:`config`; ``None``: there is none."""
        if not self.is_applied(module):
            return None
        return self.view.keys.config(module) or self.modules.last_config(module)

    def understood(self, module: str) -> AnyModule | None:
        """What :meth:`known_config` says; ``None``: there is none, or this release does not understand it."""
        record = self.known_config(module)
        return None if record is None else parsed_config(record)

    def desired(self, module: str, node: str) -> DesiredRecord | None:
        """What is wanted of ``module`` on ``node``, to be changed in a part; ``None``: nothing was ever.

        Raises:
            ApiError: it is not understood.
        """
        desired = self.view.keys.desired(module, node)
        if desired is None and self.keys_of(module).desired(node) in self.view.kvs:
            raise ApiError(
                ErrorKind.REFUSED,
                f"What is wanted of {module} on {node} is not understood: another release wrote it, or an etcdctl put.",
                meaning=UNCHANGED,
                remedy="Install the same release of Mirrorfarm on all nodes; or write it anew: mirrorfarm start "
                f"{module} --node {node}, or mirrorfarm stop {module} --node {node}.",
            )
        return desired

    def module_view(self, module: str) -> ModuleView:
        """``module`` on all its nodes.

        Raises:
            ApiError: as :meth:`config`.
        """
        self.heard()
        view = module_view(
            self.view.keys,
            module,
            fresh=self.view.reachable,
            here=self.node,
            local=self.modules.local_state(module),
            last=self.modules.last_config(module),
        )
        if view is None:
            raise unknown_module(module)
        return view

    def heard(self) -> None:
        """Refuse while etcd has never been heard: nothing at all is known then.

        Raises:
            ApiError: so it is.
        """
        if self.view.revision == 0:
            raise ApiError(
                ErrorKind.STORE_UNREACHABLE,
                "etcd has not answered since this agent was started.",
                meaning="Nothing is known of the cluster. Nothing is started on this node; what a former agent left "
                "running goes on for as long as it may.",
                remedy="Run mirrorfarm check: it says which etcd members answer.",
            )

    async def refuse_old_news(self) -> None:
        """That nothing has to be done is known only while etcd answers, which is waited for a little.

        Raises:
            ApiError: it does not.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + ELECTED_S
        while not self.view.reachable:
            if loop.time() >= end:
                raise ApiError(
                    ErrorKind.STORE_UNREACHABLE,
                    "etcd does not answer this node, so it is not known whether anything has to be changed.",
                    meaning="Nothing was changed by this command.",
                    remedy="Run mirrorfarm check: it says which etcd members answer. Then ask again.",
                )
            await asyncio.sleep(RETRY_S)

    async def commit(self, txn: Txn, seconds: float | None = None) -> TxnResult:
        """As of the store, of what an operator asks for: an etcd that takes nothing is waited for a little.

        It is sent again only where it was certainly not taken.

        Args:
            txn: the change.
            seconds: in which it is to be taken, if they are less than :data:`ELECTED_S`.

        Raises:
            DefiniteFailure, IndefiniteFailure: as of the store.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + (ELECTED_S if seconds is None else min(seconds, ELECTED_S))
        while True:
            try:
                return await self.store.commit(txn)
            except StoreUnreachable:
                if loop.time() + RETRY_S >= end:
                    raise
            await asyncio.sleep(RETRY_S)

    async def wait_seen(self, revision: int) -> None:
        """Wait a little until the view shows what was written at ``revision``."""
        await self.view.reach(revision, SEE_S)


def utc_now() -> str:
    """The wall time, for people."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unknown_module(module: str) -> ApiError:
    """There is none of that name."""
    return ApiError(
        ErrorKind.NOT_FOUND,
        f"There is no module {module} in this cluster.",
        remedy="mirrorfarm state lists the modules; mirrorfarm module apply DIR makes one.",
    )


def not_understood(module: str) -> ApiError:
    """Its configuration in etcd is not, and none was since this agent began."""
    return ApiError(
        ErrorKind.REFUSED,
        f"The configuration of {module} in etcd is not understood.",
        meaning=UNCHANGED,
        remedy=f"mirrorfarm why {module} says what is wrong with it, and what to do.",
    )


def unknown_node(module: str, node: str, nodes: tuple[str, ...]) -> ApiError:
    """The module does not run there; without any ``nodes``, nobody has understood on which it does."""
    if not nodes:
        return not_understood(module)
    return ApiError(
        ErrorKind.NOT_FOUND,
        f"{node} is not a node of {module}: its nodes are {', '.join(nodes)}.",
        remedy=f"Name one of these: mirrorfarm state {module} shows them.",
    )


def changed_meanwhile(what: str) -> ApiError:
    """Other operators' changes came in between, each time."""
    return ApiError(
        ErrorKind.BUSY,
        f"{what} was changed by others at the same time, {ATTEMPTS} times in a row.",
        meaning="Nothing was changed by this command.",
        remedy="Ask again.",
    )
