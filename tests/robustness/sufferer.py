"""What schedules of faults are run on: modules of a lab, with clients, and what must hold of them afterwards.

``tests.support.recorded_cluster`` is one, of a single mirror; ``tests.robustness.mix`` another, of several modules.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from manager.lab.lab import Lab
from tests.support.client_history import Call
from tests.support.moments import Moments
from tests.support.recorded_cluster import RecordedCluster


class Sufferer(Protocol):
    """Open, and stopped between schedules. What an operator is told when something fails is raised as LabError."""

    @property
    def lab(self) -> Lab:
        """All of it."""

    @property
    def mirrors(self) -> Sequence[RecordedCluster]:
        """Those of its modules, each of which is to serve whenever one of its nodes could."""

    @property
    def power_losses(self) -> int:
        """How often all that held the data of a module lost their power."""

    def start(self) -> None:
        """The operator's start, until all is as it is to be."""

    def start_clients(self, count: int) -> None:
        """So many of each module."""

    def wait_for_answers(self, count: int = 20, seconds: float = 60.0) -> None:
        """Until so many writes of each module were completed that clients began since; else AssertionError."""

    def mirrorfarm(self, node: str, *words: str, seconds: float = 150.0) -> str:
        """The command's output there."""

    def note_power_loss(self, node: str, moment_ns: int) -> None:
        """``node`` has just lost its power."""

    def repair(self) -> None:
        """Undoes whatever was done to the lab, and starts what does not run."""

    def recover(self, seconds: float) -> None:
        """Until all is as it is to be after :meth:`repair`, or LabError."""

    def verify(self) -> list[str]:
        """What the product itself says that is wrong, while it runs."""

    def end_clients(self) -> None:
        """They send no more, and have an outcome for each call."""

    def stop(self) -> None:
        """The operator's stop, where copies are to be compared at rest."""

    def calls(self) -> list[Call]:
        """Of all clients."""

    def serving_at(self, at_ns: int) -> str:
        """The node whose role a fault befell then; empty: nobody served, or several modules have roles."""

    def violations(self, moments: Moments | None = None, *, whole: bool = True) -> list[str]:
        """What is wrong, once all is stopped.

        Args:
            moments: of what happened in etcd, where somebody has looked.
            whole: all was as it is to be before; else only those copies are looked at that count.
        """

    def lost(self) -> int:
        """How many completed writes are missing, after :meth:`violations`."""

    def operations(self) -> int:
        """How many the applications themselves have done."""

    def keep(self, directory: Path) -> None:
        """Copies all that the lab's machines wrote down."""

    def forget(self) -> None:
        """So that a new history begins."""
