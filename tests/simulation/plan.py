"""How rough a run is, and what its processes are made of."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from agent.core.commands import Command
from agent.core.events import Event
from agent.core.mirror import RULES, Rule, step_by
from agent.core.settings import Settings
from agent.core.state import MirrorState
from replicator.barriers import Barriers
from replicator.core.completions import Completions
from replicator.core.tracking import Tracker
from replicator.dirty_keeper import DirtyKeeper
from tests.simulation.primary import Primary
from tests.simulation.private import DirtyFile, Follower
from tests.simulation.replicator import Replicator
from tests.simulation.resync import QuickBarriers, Repairs
from tests.simulation.volume import Copy, clear_base


def _as_shipped(settings: Settings) -> Settings:
    return settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The shipped core and completions, and the model around them; a variant that is broken on purpose has others."""

    rules: tuple[Rule, ...] = RULES
    step: Callable[[tuple[Rule, ...], MirrorState, Event, int], tuple[MirrorState, tuple[Command, ...]]] = step_by
    """Has a core of ``rules`` take an event; a checker of its states has another one."""
    completions: Callable[[], Completions[Any]] = Completions
    primary: type[Primary] = Primary
    replicator: type[Replicator] = Replicator
    tracker: type[Tracker] = Tracker
    keeper: type[DirtyKeeper] = DirtyKeeper
    barriers: type[Barriers] = QuickBarriers
    repairs: type[Repairs] = Repairs
    file: type[DirtyFile] = DirtyFile
    follower: type[Follower] = Follower
    """What a secondary makes of one stream."""
    clear_base: Callable[[Copy], None] = clear_base
    settings: Callable[[Settings], Settings] = _as_shipped
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Makes what patches the core while a run lasts; as shipped: nothing."""


SHIPPED = Parts()


@dataclass(frozen=True, slots=True)
class Plan:
    """What may happen in a run, and how often."""

    seconds: int = 60
    store_faults: float = 0.05
    """Share of the store's requests that are lost, late, or answered in vain."""
    slow_disks: float = 0.05
    """Share of what a disk is asked for that takes it long."""
    mean_between_faults_s: float = 6.0
    faults: tuple[str, ...] = ("machine", "power", "operators", "switches", "store", "freezes", "clocks")
    """Kinds of ``tests.simulation.faults.KINDS``."""
    nodes: tuple[str, ...] = ("a", "b")
    ttl_s: int = 6
    """Of an agent's lease."""
    steady: bool = False
    """Nothing is left to chance but what the schedule says: for scenarios."""
    initial_primary: str = ""
    after_power_loss: str = "start"
    failover: str = "on"
    preferred_primary: str = ""
    reads_answers: bool = False
    """The operator goes by what his last request was refused with; else he asks the same again, as in older plans."""
    stopping_ms: tuple[int, int] = (5, 400)
    """How long the application's stop takes, at the least and at the most."""
    parts: Parts = field(default=SHIPPED)
