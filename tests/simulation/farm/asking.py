"""What the agents of a simulated farm ask and answer each other, four times a second."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from tests.simulation.clockwork import Actor

if TYPE_CHECKING:
    from tests.simulation.farm.node import Agent, Machine

PROBE_MS = 250


class Asking:
    """One agent's."""

    def __init__(self, agent: "Agent") -> None:
        """Asks nobody yet."""
        self._agent = agent
        self._probed = fk.Probe({})
        self._answer: fk.AnswerProbes | None = None
        self._asked_ns: dict[str, int] = {}
        """Address to when one that directs it asked last."""
        self._ask_all()

    @property
    def is_any(self) -> bool:
        """Whether it asks anybody."""
        return bool(self._probed.endpoints)

    def probe(self, command: fk.Probe) -> None:
        """These from now on."""
        self._probed = command

    def answer(self, command: fk.AnswerProbes) -> None:
        """From now on."""
        self._answer = command

    def _ask_all(self) -> None:
        agent = self._agent
        for node in self._probed.endpoints:
            self._ask(agent.world.machines[node])
        agent.later(PROBE_MS, PROBE_MS, self._ask_all)

    def _ask(self, other: "Machine") -> None:
        network, mine, asked_ns = self._agent.world.network, self._agent.machine.name, self._agent.machine.clock.now_ns
        if not other.is_on or not network.passes(mine, other.name):
            return
        agent, directs = other.agent, self._probed.directs

        def arrive() -> None:
            if agent is not None and agent.alive:
                self._come_back(other, agent.asking.said_to(mine, directs, asked_ns))
            elif other.is_on and other.agent is None:
                self._come_back(other, fe.Refused(other.name, asked_ns))

        actor: Actor | None = None if agent is None else agent.actor
        self._agent.clock.after(network.delay_ns(mine, other.name), arrive, actor)

    def said_to(self, asker: str, directs: Mapping[str, int], asked_ns: int) -> fe.Answered | None:
        """What it answers to a question of ``asker``, which it has had now; ``None``: it has not begun yet."""
        answer, agent = self._answer, self._agent
        if answer is None:
            return None
        said = fe.Answered(
            agent.machine.name, answer.ready, answer.numbers, agent.state.own_macs, answer.busy, answer.adopting,
            frozenset(a for a, director in answer.promises.items() if director == asker), self._heard_ns(), asked_ns,
            is_open=answer.is_open,
        )  # fmt: skip
        self._asked_ns |= dict.fromkeys(directs, agent.machine.clock.now_ns)
        agent.give(fe.Asked(asker, directs))
        return said

    def _heard_ns(self) -> Mapping[str, int]:
        now_ns = self._agent.machine.clock.now_ns
        return {address: now_ns - at_ns for address, at_ns in self._asked_ns.items()}

    def _come_back(self, other: "Machine", said: fe.Answered | fe.Refused | None) -> None:
        network, mine = self._agent.world.network, self._agent.machine.name
        if said is not None and network.passes(other.name, mine):
            delay_ns = network.delay_ns(other.name, mine)
            self._agent.clock.after(delay_ns, lambda: self._heard(said), self._agent.actor)

    def _heard(self, said: fe.Answered | fe.Refused) -> None:
        if self._agent.alive and said.node in self._probed.endpoints:
            self._agent.give(said)
