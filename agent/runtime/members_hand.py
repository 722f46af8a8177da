"""What the nodes of a farm tell each other: their probes and answers, and what is counted for these."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address

import structlog

from agent.adapters import slot_connections
from agent.adapters.probe_messages import Answer, Module
from agent.adapters.probing import Probing
from agent.core.farm import events
from agent.core.farm.commands import AnswerProbes, CountConnections, Probe
from agent.runtime.shared_ports import shared_ports
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.config.farm_config import FarmConfig
from manager.model.errors import MirrorfarmError

_COUNT = "count"
_MS_NS = 1_000_000

Event = events.Answered | events.Asked | events.Refused | events.Counted


class MembersHand:
    """One module's."""

    def __init__(
        self,
        config: FarmConfig,
        module: Module,
        seed: int,
        probing: Probing,
        give: Callable[[Event], None],
        hasten: Callable[[bool], None],
        on_fatal: OnFatal,
    ) -> None:
        """``seed``: of the hash. ``hasten`` is told whether this node's registration is to be renewed more often.

        It is while this node asks others: to those whom its questions do not reach, the renewals say that it lives.
        """
        self._config = config
        self._module = module
        self._seed = seed
        self._probing = probing
        self._give = give
        self._hasten = hasten
        self._tasks = Tasks(on_fatal)
        self._macs: Mapping[str, str] = {}
        self._answer: AnswerProbes | None = None
        self._counts = 0
        self._log = structlog.get_logger().bind(module=config.name)
        probing.attend(module, self)

    def linked(self, macs: Mapping[str, str]) -> None:
        """The MACs of this node's links, by address."""
        self._macs = macs
        # Until the core has said something, a silent node is what it is: one whose agent has just begun.
        if self._answer is not None:
            self.answer(self._answer)

    def answer(self, command: AnswerProbes) -> None:
        """To who probes this node, from now on."""
        self._answer = command
        answer = Answer(
            command.ready, command.adopting, command.numbers, self._macs, command.busy, is_open=command.is_open
        )
        self._probing.answer(self._module, answer, command.promises)

    def probe(self, command: Probe) -> None:
        """These nodes from now on."""
        self._hasten(bool(command.endpoints))
        self._probing.probe(self._module, command.endpoints, command.directs)

    def count(self, command: CountConnections) -> None:
        """Answered by Counted, unless another one comes before."""
        self._counts += 1
        self._tasks.start(f"{_COUNT} {self._counts}", self._count(command, self._counts))

    async def close(self) -> None:
        """Say and ask nothing any more."""
        await self._tasks.cancel()
        self._probing.leave(self._module)
        self._hasten(False)

    # What the probing tells

    def asked(self, by: str, directs: Mapping[str, int]) -> None:
        """See :class:`agent.adapters.probing.Participant`."""
        self._give(events.Asked(by, directs))

    def answered(self, node: str, answer: Answer, asked_ns: int) -> None:
        """See :class:`agent.adapters.probing.Participant`."""
        heard_ns = {address: ago_ms * _MS_NS for address, ago_ms in answer.heard_ms.items()}
        self._give(
            events.Answered(
                node, answer.ready, answer.numbers, answer.macs, answer.busy, answer.adopting, answer.promises,
                heard_ns, asked_ns, answer.is_open,
            )
        )  # fmt: skip

    def refused(self, node: str, asked_ns: int) -> None:
        """See :class:`agent.adapters.probing.Participant`."""
        self._give(events.Refused(node, asked_ns))

    async def _count(self, command: CountConnections, number: int) -> None:
        busy: dict[str, frozenset[int]] = {}
        for address, slots in command.slots.items():
            try:
                busy[address] = await slot_connections.busy(
                    ip_address(address), slots, shared_ports(self._config.rules, address, self._seed)
                )
            except MirrorfarmError as failure:
                # They count as busy: nobody is cut off for that.
                self._log.warning("connections.uncounted", error=str(failure))
                busy[address] = slots
        if number == self._counts:
            self._give(events.Counted(busy))
