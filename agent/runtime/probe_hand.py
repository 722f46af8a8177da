"""Asks another node at its addresses whether it is there, for a forced start of one module (S12)."""

from collections.abc import Callable, Collection

import structlog

from agent.adapters.netlink import Netlink
from agent.adapters.presence import ask
from agent.core import events
from agent.core.commands import ProbeNode
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.errors import MirrorfarmError


class ProbeHand:
    """One module's questions."""

    def __init__(
        self,
        module: str,
        port: int,
        virtual: Collection[str],
        netlink: Netlink,
        give: Callable[[events.Event], None],
        on_fatal: OnFatal,
    ) -> None:
        """``port``: where the module's replicators listen; ``virtual``: its addresses, which tell of no machine."""
        self._port = port
        self._virtual = frozenset(virtual)
        self._netlink = netlink
        self._give = give
        self._tasks = Tasks(on_fatal)
        self._log = structlog.get_logger().bind(module=module)

    def probe(self, command: ProbeNode) -> None:
        """Ask; answered by NodeProbed."""
        self._tasks.start(f"probe {command.request_id}", self._probe(command))

    async def close(self) -> None:
        """Abandon what is under way."""
        await self._tasks.cancel()

    async def _probe(self, command: ProbeNode) -> None:
        real = [a for a in command.addresses if a not in self._virtual]
        untried = [(a, "a virtual address") for a in command.addresses if a in self._virtual]
        try:
            found = await ask(real, self._port, await self._netlink.interfaces(), await self._netlink.addresses())
        except MirrorfarmError as failure:
            answering, untried = "", untried + [(a, str(failure)) for a in real]
        else:
            answering, untried = found.answering, untried + list(found.untried)
        self._log.warning("node.probed", node=command.node, answering=answering, untried=untried)
        self._give(events.NodeProbed(command.request_id, answering, tuple(untried)))
