"""The other nodes' agents, as this one knows them: where they are, and how they are asked.

Where they are it knows from etcd, as it was last heard: their registration, and what each has left of its addresses. A
call is handed on for an operator of this node; what the others say of themselves is asked for when etcd does not tell.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from agent.adapters.calls import Caller, Report
from agent.adapters.channel_client import ChannelClient
from agent.api_view_told import Told
from agent.runtime.cluster_view import ClusterView
from manager.model.api import UNCHANGED, ApiError, ErrorKind, StateArguments
from manager.model.api_channel import Asker, why_not
from manager.model.records import KnownNode, NodeRecord
from manager.time_limit import time_limit

TOLD_S: Final = 1.0
"""How long it is waited for what another node says of itself: somebody looks at a screen."""
FRESH_S: Final = 0.5
"""What was told is told again to who asks within this."""
MOST_ADDRESSES: Final = 8
"""Of one node, that are tried."""


class Others(Protocol):
    """Who can be asked for what etcd does not have, or does not tell while it is silent."""

    async def told(self, nodes: Iterable[str]) -> Mapping[str, Told]:
        """What these nodes say of themselves, within about a second."""
        ...


class Nobody:
    """Nobody is asked: who asks is another node's agent already."""

    async def told(self, nodes: Iterable[str]) -> Mapping[str, Told]:
        """See :class:`Others`."""
        return {}


class Colleagues:
    """All other nodes."""

    def __init__(self, node: str, view: ClusterView, client: ChannelClient, *, secure: bool) -> None:
        """``node``: this one. ``secure``: the channel is by TLS."""
        self._node = node
        self._view = view
        self._client = client
        self._secure = secure
        self._asked: dict[str, tuple[float, asyncio.Task[Told]]] = {}
        """Node to since when it is asked, and what comes of it."""

    async def forward(self, node: str, arguments: Any, caller: Caller, report: Report) -> Any:
        """What the agent of ``node`` answers.

        Raises:
            ApiError: its own; or it is not asked such a thing, is not known, or did not answer.
        """
        self._check_known(node)
        refusal = why_not(arguments, node, Asker.NODE if self._secure else Asker.ANYBODY)
        if refusal is not None:
            raise refusal
        return await self._client.ask(node, self.addresses_of(node), arguments, caller.name, report)

    async def told(self, nodes: Iterable[str]) -> Mapping[str, Told]:
        """See :class:`Others`. One question to each node at a time, whoever asks."""
        others = [node for node in nodes if node != self._node]
        return dict(zip(others, await asyncio.gather(*map(self._told_by, others)), strict=True))

    def addresses_of(self, node: str) -> tuple[str, ...]:
        """Where ``node`` was to be found when etcd was last heard; where this node itself is, it is not."""
        return tuple(a for a in self._addresses(node) if a not in self._addresses(self._node))[:MOST_ADDRESSES]

    async def close(self) -> None:
        """Give up what is asked for."""
        tasks = [task for _, task in self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _addresses(self, node: str) -> tuple[str, ...]:
        keys, cluster = self._view.keys, self._view.cluster
        registered, known = keys.record(NodeRecord, cluster.node(node)), keys.record(KnownNode, cluster.known(node))
        both = (() if registered is None else registered.addresses, () if known is None else known.addresses)
        return tuple(dict.fromkeys(address for addresses in both for address in addresses))

    def _check_known(self, node: str) -> None:
        if self._view.revision == 0:
            raise ApiError(
                ErrorKind.STORE_UNREACHABLE,
                f"Where {node} is, is not known: etcd has not answered since this agent was started.",
                meaning=UNCHANGED,
                remedy=f"Run the command on {node}; mirrorfarm check says which etcd members answer.",
            )
        known = self._view.keys.known_nodes()
        if node not in known:
            raise ApiError(
                ErrorKind.NOT_FOUND,
                f"No node {node} has been heard of in this cluster.",
                meaning=UNCHANGED,
                remedy=f"Its nodes are {', '.join(sorted(known))}.",
            )

    async def _told_by(self, node: str) -> Told:
        now_s = asyncio.get_running_loop().time()
        since_s, asking = self._asked.get(node, (0.0, None))
        if asking is None or (asking.done() and now_s - since_s > FRESH_S):
            asking = asyncio.get_running_loop().create_task(self._ask(node))
            self._asked[node] = (now_s, asking)
        # Who asks may go away; others may wait for the same answer.
        return await asyncio.shield(asking)

    async def _ask(self, node: str) -> Told:
        try:
            async with time_limit(TOLD_S):
                answer: Told = await self._client.ask(
                    node, self.addresses_of(node), StateArguments(), f"the agent of {self._node}", _unreported, TOLD_S
                )
        except TimeoutError:
            return f"no answer within {TOLD_S:g} s"
        except ApiError as error:
            return error.message.removeprefix(f"node {node}: ").removesuffix(".")
        return answer


async def _unreported(progress: Any) -> None:
    """A state has no progress."""
