"""How rough a run of a simulated farm is, and with which core."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Plan:
    """What may happen in a run, and how often."""

    seconds: int = 30
    nodes: int = 3
    addresses: int = 1
    store_faults: float = 0
    """Share of the store's requests that are lost, late, or answered in vain."""
    fails: float = 0
    """Share of the work on a node that fails."""
    faults: tuple[str, ...] = ("steady",)
    """Kinds of ``tests.simulation.farm.faults.KINDS``."""
    mean_between_faults_s: float = 3.0
    calm_s: int = 8
    """Before anything happens: all begins, and is shared."""
    spread_after_s: int = 30
    """So long nothing has changed before a director of several addresses hands one over."""
    settles: bool = False
    """At the end all is healed, and is as it should be in its time; so once more, when its scripts have closed a node
    for good."""
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Makes what patches the core while a run lasts; as shipped: nothing."""
