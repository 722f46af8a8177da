"""When each step of a take-over came, read from the log of the node that took over and from the client. Pure.

All machines of the lab have the host's one clock: so their wall times can be compared here, and only here.
"""

import datetime
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from manager.lab.demo.ledger import Ledger

_SHARED = "slots: those of the dead node are this node's"
_DIRECTED = "director: the farm's address is answered for here"


@dataclass(frozen=True, slots=True)
class Farm:
    """The farm of which a node is lost."""

    module: str
    lost_director: bool
    """The node received for the farm's address."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and when it came; ``None``: nothing says so."""

    what: str
    at: float | None
    """Wall time in seconds."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A take-over, from the crash to the first commit."""

    crash: float
    steps: tuple[Step, ...]
    """In the order in which they came; those that nothing tells of are last."""

    @property
    def complete(self) -> bool:
        """Every step is known."""
        return all(step.at is not None for step in self.steps)

    @property
    def farm_serves(self) -> float:
        """Wall time in seconds from which what clients begin comes to this node, all of it; infinite: not known."""
        times = [step.at for step in self.steps if step.what in (_SHARED, _DIRECTED)]
        return max(float("inf") if at is None else at for at in times)

    def milliseconds(self, step: Step) -> int | None:
        """From the crash to ``step``."""
        return None if step.at is None else round((step.at - self.crash) * 1000)


def of_take_over(crash: float, log: Iterable[str], ledger: Ledger, mirror: str, farm: Farm | None = None) -> Timeline:
    """The take-over after ``crash``, from the log of the agent that took over, and what the client said.

    Args:
        crash: wall time in seconds.
        log: the lines of the agent's log.
        ledger: of the client, whose commits come by way of ``farm``, where there is one.
        mirror: the module whose primary died.
        farm: the module one of whose members died.
    """
    entries = [e for e in map(_entry, log) if e and _at(e) > crash]

    def first(module: str, holds: Callable[[dict[str, Any]], bool], after: float | None = crash) -> float | None:
        known = (_at(e) for e in entries if e.get("module") == module and holds(e))
        return None if after is None else next((at for at in known if at > after), None)

    promoted = first(mirror, lambda e: _settled(e, "elect"))
    committed = ledger.first_done_after(promoted) if promoted is not None else None
    steps = [
        Step("detection: the primary is gone from etcd", first(mirror, lambda e: e.get("reason") == "electing")),
        Step("promotion: etcd has taken the new primary", promoted),
        Step("address: the mirror's address is here", first(mirror, lambda e: e["event"] == "address.added")),
        Step("application: PostgreSQL has recovered", first(mirror, _started)),
        Step("first commit: the client is told", committed.at if committed is not None else None),
    ]
    if farm is not None:
        shared = first(farm.module, lambda e: _settled(e, "slots"))
        steps.append(Step(_SHARED, first(farm.module, _loaded, shared)))
    if farm is not None and farm.lost_director:
        added = first(farm.module, lambda e: e["event"] == "address.added")
        steps.append(Step(_DIRECTED, added))
    return Timeline(crash, tuple(sorted(steps, key=lambda s: float("inf") if s.at is None else s.at)))


def wall_time(text: str) -> float:
    """Seconds of a time as logs and records have it (ISO 8601, UTC).

    Raises:
        ValueError: it is none.
    """
    return datetime.datetime.fromisoformat(text).timestamp()


def _settled(entry: dict[str, Any], tag: str) -> bool:
    return bool(entry["event"] == "transaction.settled" and entry["tag"] == tag and entry["succeeded"])


def _loaded(entry: dict[str, Any]) -> bool:
    return bool(entry["event"] == "rules.loaded")


def _started(entry: dict[str, Any]) -> bool:
    return bool(entry["event"] == "script.ended" and entry["script"] == "start_prim" and entry["outcome"] == "done")


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None  # The last line may be half-written, and what the interpreter says is no JSON.
    return entry if isinstance(entry, dict) and "event" in entry and "at" in entry else None


def _at(entry: dict[str, Any]) -> float:
    return wall_time(entry["at"])
