"""A simulated machine: its clock, disk, processes and virtual address, and what a crash or a freeze leaves of them."""

import random
from collections.abc import Callable

from agent.core.promise_note import PromiseNote
from manager.model.boots import after_loss
from manager.model.keys import ClusterKeys
from manager.model.states import ModuleState
from tests.simulation.agent import HANGS_NS, PULSE_MS, Agent, Config
from tests.simulation.checkers import Applications
from tests.simulation.clockwork import MS_NS, SECOND_NS, Actor, LocalClock
from tests.simulation.network import CLIENT
from tests.simulation.plan import Plan
from tests.simulation.replicator import Replicator
from tests.simulation.stream import Place
from tests.simulation.volume import Content, Copy

CLUSTER = ClusterKeys("sim")
MODULE = "db"
MOST_PPM = 40_000
"""How much too fast or too slow a clock runs at the most: less than what is taken off a lease."""
_FOREVER_NS = 1 << 62
KILLED_WITHIN_NS = SECOND_NS
"""What a thawed node may still answer by itself, before it is killed: a second."""
FOUND_SILENT_WITHIN_NS = HANGS_NS + PULSE_MS * MS_NS
"""Of a replicator that hangs while its agent is killed and started again: the new one has to find that out first."""


class Machine:
    """One node."""

    def __init__(self, place: Place, name: str, plan: Plan, applications: Applications) -> None:
        """Switched off."""
        self.place, self.name, self.plan, self.applications = place, name, plan, applications
        self.faults = plan.store_faults
        self.fails = 0.0
        """In which share of the cases an application or a replicator does not start."""
        self.broken = False
        """The application fails at each start here."""
        self.addresses_fail = ""
        """What comes of adding the virtual addresses here: ``failed``, ``in_use``; empty: they are had."""
        self.fence_fails = False
        """The hook that is to turn another node off fails."""
        self.kill_fails = False
        """What its agent kills does not die, but by its warden."""
        self.ttl_s = plan.ttl_s
        """Of its agent's lease, from the agent's next start on."""
        self.promises = PromiseNote("", 0, 0)
        """What its agents note of them in the run directory."""
        self.copy = Copy(name)
        self.boots = 0
        self.boot_id = f"{name}-boot0"
        """Differs after each loss of power; the module's, also after each loss of memory that its agent heard of."""
        self.clock = self._new_clock()
        self.init, self.applicator = Actor(), Actor()
        """The process that starts the agent, and the application."""
        self.agent: Agent | None = None
        self.replicator: Replicator | None = None
        self.application = False
        self.on = False
        """It has power: its kernel answers whoever asks it."""
        self.served: list[tuple[int, int, ModuleState]] = []
        """What its agent's log says of PRIM and ALONE: when, and in which epoch."""
        self.config = Config(0, plan.failover)
        """Of the module's configuration, what it runs by here."""
        self.address_expires_ns = 0
        """When the kernel drops the virtual address, truly; past: it is not there."""
        self.memory_given_up = False
        """It was elected without its memory, and has not served since: only P2 holds."""
        self._start_again = False
        """The agent is to be started once the one that is ending has ended."""
        self._frozen: list[Actor] = []
        self._paused_ns: int | None = None

    def _new_clock(self) -> LocalClock:
        clock = self.place.clock
        if clock.steady:
            return LocalClock(clock, clock.now_ns + SECOND_NS, 0)
        return LocalClock(clock, clock.between(50, 30_000), clock.random.randrange(-MOST_PPM, MOST_PPM))

    @property
    def kernel_boot_id(self) -> str:
        """Differs after each loss of power."""
        return f"{self.name}-boot{self.boots}"

    @property
    def _chance(self) -> random.Random | None:
        return None if self.place.clock.steady else self.place.clock.random

    # Its processes

    def start(self) -> None:
        """Init starts the agent, if it is not there."""
        self.on = True
        self.place.clock.after(0, self._start, self.init)

    def _start(self) -> None:
        if self.agent is None:
            self._start_again = False
            self.agent = Agent(self)
            self._judge_guards()
        else:
            self._start_again = self.agent.stopping

    def agent_stopped(self) -> None:
        """It has ended in order."""
        self.kill_agent()
        if self._start_again:
            self.start()

    def kill_agent(self) -> None:
        """kill -9; the replicator and the application live on."""
        if self.agent is not None:
            self.agent.end()
            self.agent = None
            self._judge_guards()

    def kill_replicator(self) -> None:
        """kill -9; its agent notices."""
        replicator = self.replicator
        if replicator is None or not replicator.alive:
            return
        replicator.die()
        self._judge_guards()
        if self.agent is not None:
            self.agent.later(1, 50, lambda a: a.replicator_died(replicator, "killed"))

    def crash(self, *, power: bool) -> None:
        """Everything stops at once; with ``power``, so does the memory."""
        self.kill_agent()
        if self.replicator is not None and self.replicator.alive:
            self.replicator.die()
        self.replicator = None
        self.stop_application()
        self.thaw()
        if power:
            self.on = False
            self.boots += 1
            self.boot_id = self.kernel_boot_id
            self.address_expires_ns = 0
            self.clock = self._new_clock()
            self.copy.lose_memory(self._chance)

    def answers_at(self, name: str) -> bool:
        """Whether the machine of that name answers when this one asks."""
        other = self.place.machines[name]
        return other.on and other._paused_ns is None and self.place.network.reaches(self.name, name)

    def new_replicator(self) -> Replicator:
        """Starts a process."""
        kind = self.place.parts.replicator
        replicator: Replicator = kind(self.place, self.name, self.boot_id, self.copy, self.clock)
        replicator.on_death = self.stop_application
        replicator.on_serving = self._serving
        self.replicator = replicator
        self._judge_guards()
        return replicator

    def _serving(self, epoch: int) -> None:
        kept, self.memory_given_up = not self.memory_given_up, False
        self.place.note(f"{self.name} serves epoch {epoch}")
        self.place.promises.serve(self.name, epoch, self.copy.cache, self.place.clock.now_ns, kept_memory=kept)

    # The application and the address

    def start_application(self) -> None:
        """It runs."""
        self.application = True
        self._judge_application()

    def stop_application(self) -> None:
        """Nothing of it is left."""
        self.application = False
        self._judge_application()

    def end_application(self) -> None:
        """It ends by itself; its agent notices."""
        if not self.application_runs:
            return
        self.stop_application()
        if self.agent is not None:
            self.agent.application_ended()

    @property
    def application_runs(self) -> bool:
        """It is there, and not frozen."""
        return self.application and not self.applicator.frozen

    def _judge_application(self) -> None:
        running = self.applications.running
        if not self.application_runs:
            running.discard(self.name)
        elif self.name not in running:
            running.add(self.name)
            self.applications.check(self.place.clock.now_ns)

    def _judge_guards(self) -> None:
        """While neither the agent nor the warden runs here, nobody can kill the application; then within a second.

        An agent that begins beside a warden that hangs ends it all once that has not answered.
        """
        agent, replicator = self.agent, self.replicator
        guarded = agent is not None and not agent.actor.frozen
        guarded = guarded or (replicator is not None and replicator.alive and not replicator.actor.frozen)
        excused = self.applications.excused_until_ns
        now_ns = self.place.clock.now_ns
        if not guarded:
            excused[self.name] = _FOREVER_NS
        elif excused.get(self.name, 0) == _FOREVER_NS:
            hangs = replicator is not None and replicator.alive and replicator.actor.frozen
            within_ns = KILLED_WITHIN_NS + (FOUND_SILENT_WITHIN_NS if hangs else 0)
            excused[self.name] = now_ns + within_ns
            clock = self.place.clock
            clock.after(within_ns, lambda: self.applications.check(clock.now_ns))

    def address_until(self, local_ns: int) -> None:
        """The kernel keeps the address until then."""
        left_ns = local_ns - self.clock.now_ns
        self.address_expires_ns = self.place.clock.now_ns + self.clock.truly(left_ns) if left_ns > 0 else 0

    def answers(self, network_reaches: Callable[[str, str], bool]) -> bool:
        """Whether a client that asks the virtual address may come to the application here."""
        held = self.place.clock.now_ns < self.address_expires_ns
        return held and self.application_runs and network_reaches(CLIENT, self.name)

    def read(self) -> Content | None:
        """What the application reads now; ``None``: its file system is dead."""
        return self.copy.cache if self.replicator is not None and self.replicator.serves else None

    # Freezing

    def freeze(self, what: str) -> None:
        """``node``, ``agent``, ``replicator``, or ``both`` of these: nothing of it runs."""
        agent = [self.agent.actor] if self.agent is not None else []
        replicator = [self.replicator.actor] if self.replicator is not None else []
        actors = {
            "node": [self.init, self.applicator, *agent, *replicator],
            "agent": agent, "replicator": replicator, "both": [*agent, *replicator],
        }[what]  # fmt: skip
        for actor in actors:
            self.place.clock.freeze(actor)
        self._frozen += actors
        self._judge_application()
        self._judge_guards()

    def pause(self) -> None:
        """The whole machine stands still, its kernel and its clock too, as a paused virtual one does."""
        self.freeze("node")
        if self._paused_ns is None:
            self._paused_ns = self.place.clock.now_ns
            self.clock.stop()

    def thaw(self) -> None:
        """All that was frozen runs again."""
        now_ns = self.place.clock.now_ns
        if self._paused_ns is not None:
            self.clock.go_on()
            self.address_expires_ns += now_ns - self._paused_ns
            self.applications.doubted_until_ns = max(self.applications.doubted_until_ns, now_ns + 15_000 * MS_NS)
            self._paused_ns = None
        frozen, self._frozen = self._frozen, []
        for actor in frozen:
            self.place.clock.thaw(actor)
        if frozen:
            self._judge_application()
            self._judge_guards()

    @property
    def is_frozen(self) -> bool:
        """Something of it is."""
        return bool(self._frozen)

    # The disk

    def exchange(self, other: "Machine") -> None:
        """Each has the other one's disk: what either had in its memory is none of that."""
        self.copy, other.copy = other.copy, self.copy
        for copy in (self.copy, other.copy):
            copy.lose_memory(self._chance)
        self.copy.memories = other.copy.memories = max(self.copy.memories, other.copy.memories)

    def lose_writeback(self) -> None:
        """An error on writeback: what was not synced may be gone. The replicator notes it, and says so."""
        replicator = self.replicator
        if replicator is None or not replicator.alive or replicator.actor.frozen:
            return  # Only a replicator that runs writes, and looks for such errors.
        self.copy.lose_memory(self._chance)
        self.boot_id = after_loss(self.boot_id)
        replicator.fail("Input/output error", memory_lost=True)
