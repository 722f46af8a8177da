"""The calls that only look: node.info, state, why, history, module.show.

They answer from what was last heard of etcd and say how old that is; what is not known is ``None``, never a guess.
While etcd does not answer, state and why ask the other nodes' agents what each has to say of itself; why asks those of
nodes on which something failed in any case, for the words of it.
"""

from collections.abc import Iterable, Mapping, Sequence

from agent.adapters.calls import Caller, Report
from agent.api_view_around import around
from agent.api_view_releases import other_releases
from agent.api_view_told import Told, who_told, with_told, with_words, wordless
from agent.runtime.colleagues import Others
from agent.runtime.handlers_log_levels import standing_in
from agent.runtime.handling import Seat, unknown_node
from agent.runtime.kind_of_module import refuse_farm
from manager.model.api import (
    ModuleView,
    NodeInfo,
    NodeInfoArguments,
    OtherRelease,
    StateArguments,
    StateResult,
    WhyArguments,
    WhyResult,
)
from manager.model.api_around import Around
from manager.model.api_modules import ModuleFolder, ShowArguments
from manager.model.api_requests import HistoryArguments, HistoryResult
from manager.model.resources import waited_in
from manager.model.unreadable import Kind

MOST_HISTORY = 1_000


class StateHandlers:
    """Answers from the view."""

    def __init__(self, seat: Seat, others: Others) -> None:
        self._seat = seat
        self._others = others

    async def node_info(self, arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
        """This node, and who else is registered."""
        view = self._seat.view
        return NodeInfo(
            cluster=view.cluster.cluster,
            node=self._seat.node,
            software=self._seat.software,
            store_reachable=view.reachable,
            nodes=tuple(view.keys.nodes()),
            modules=tuple(view.keys.modules()),
            known=tuple(sorted(view.keys.known_nodes())),
            others=self._other_releases(),
        )

    async def state(self, arguments: StateArguments, caller: Caller, report: Report) -> StateResult:
        """One module, or all of them."""
        seat = self._seat
        if arguments.module:
            names = [arguments.module]
        else:
            seat.heard()
            names = seat.view.keys.modules()
        told = await self._told(seat.module_view(name) for name in names)
        # As they are now, and not when the others were asked: one may have been removed meanwhile.
        if not arguments.module:
            names = [name for name in seat.view.keys.modules() if name in names]
        modules, view = [seat.module_view(name) for name in names], seat.view
        most = arguments.takeovers
        return StateResult(
            cluster=view.cluster.cluster,
            node=seat.node,
            store_reachable=view.reachable,
            age_ms=view.age_ms,
            modules=tuple(with_told(module, told) for module in modules),
            told_by=tuple(sorted({node for module in modules for node in who_told(module, told)})),
            around=None if most is None else self._around(names, most),
            software=seat.software,
            others=self._other_releases(),
            log_levels=standing_in(seat),
        )

    def _around(self, modules: Sequence[str], most: int) -> Around:
        view = self._seat.view
        most = max(0, min(most, MOST_HISTORY))
        return around(view.keys, modules, most, fresh=view.reachable, absent_ms=view.absent_ms)

    async def why(self, arguments: WhyArguments, caller: Caller, report: Report) -> WhyResult:
        """What makes a module what it is on one node."""
        seat = self._seat
        told = await self._told([seat.module_view(arguments.module)])
        module = with_told(seat.module_view(arguments.module), told)
        if not told and (asked_for := wordless(module, seat.node)):
            module = with_words(module, await self._others.told(asked_for))
        node = arguments.node or seat.node
        # Where its configuration is not understood, its nodes are not known for sure: what is wrong with that is told.
        if module.on(node) is None and not any(each.kind is Kind.CONFIG for each in module.unreadable):
            raise unknown_node(arguments.module, node, tuple(n.node for n in module.nodes))
        keys = seat.view.keys
        asked = [r for r in keys.requests(arguments.module) if r.node == node]
        history = keys.history(arguments.module)
        last = asked[-1] if asked else None
        return WhyResult(
            module=module,
            node=node,
            store_reachable=seat.view.reachable,
            age_ms=seat.view.age_ms,
            last_request=f"{last.action} {last.status} {last.reason}".strip() if last is not None else "",
            last_takeover=history[0] if history else None,
            here=seat.node,
            told_by=who_told(module, told),
            last_request_at=last.asked_at if last is not None else "",
            last_request_detail=last.detail if last is not None else "",
            last_request_by=last.asked_by if last is not None else "",
            waited=self._waited(module, node),
            software=seat.software,
            others=self._other_releases(),
        )

    def _other_releases(self) -> tuple[OtherRelease, ...]:
        return other_releases(self._seat.view.keys, self._seat.node, self._seat.software)

    def _waited(self, module: ModuleView, node: str) -> tuple[ModuleView, ...]:
        """The modules for which the application waits there, as far as they are known."""
        on, known = module.on(node), self._seat.view.keys.modules()
        names = () if on is None else waited_in(on.resources)
        return tuple(self._seat.module_view(name) for name in names if name in known)

    async def _told(self, modules: Iterable[ModuleView]) -> Mapping[str, Told]:
        """What the other nodes of ``modules`` say of themselves, where etcd does not tell."""
        if self._seat.view.reachable:
            return {}
        return await self._others.told(dict.fromkeys(node.node for module in modules for node in module.nodes))

    async def history(self, arguments: HistoryArguments, caller: Caller, report: Report) -> HistoryResult:
        """The last take-overs."""
        refuse_farm(self._seat, arguments.module, "history")
        limit = max(0, min(arguments.limit, MOST_HISTORY))
        view = self._seat.view
        entries = tuple(view.keys.history(arguments.module)[:limit])
        return HistoryResult(arguments.module, entries, view.reachable, view.age_ms)

    async def show(self, arguments: ShowArguments, caller: Caller, report: Report) -> ModuleFolder:
        """The folder that was applied."""
        record = self._seat.config(arguments.module)
        return ModuleFolder(
            module=arguments.module,
            generation=record.generation,
            applied_at=record.applied_at,
            applied_by=record.applied_by,
            toml=record.toml,
            scripts=dict(record.scripts),
        )
