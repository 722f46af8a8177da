"""When each step of a take-over came, read from the log of the node that took over and from the client. Pure.

All machines of the lab have the host's one clock: so their wall times can be compared here, and only here.
"""

import datetime
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from manager.lab.demo.ledger import Ledger


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

    @property
    def complete(self) -> bool:
        """Every step is known."""
        return all(step.at is not None for step in self.steps)

    def milliseconds(self, step: Step) -> int | None:
        """From the crash to ``step``."""
        return None if step.at is None else round((step.at - self.crash) * 1000)


def of_take_over(crash: float, module: str, log: Iterable[str], ledger: Ledger) -> Timeline:
    """The take-over of ``module`` after ``crash``, from the lines of the agent's log and what the client said."""
    entries = [e for e in map(_entry, log) if e and e.get("module") == module and _at(e) > crash]

    def first(holds: Callable[[dict[str, Any]], bool]) -> float | None:
        return next((_at(e) for e in entries if holds(e)), None)

    promoted = first(lambda e: e["event"] == "transaction.settled" and e["tag"] == "elect" and e["succeeded"])
    committed = ledger.first_done_after(promoted) if promoted is not None else None
    return Timeline(
        crash,
        (
            Step("detection: the primary is gone from etcd", first(lambda e: e.get("reason") == "electing")),
            Step("promotion: etcd has taken the new primary", promoted),
            Step("address: the virtual address is here", first(lambda e: e["event"] == "address.added")),
            Step("application: PostgreSQL has recovered", first(_started)),
            Step("first commit: the client is told", committed.at if committed is not None else None),
        ),
    )


def wall_time(text: str) -> float:
    """Seconds of a time as logs and records have it (ISO 8601, UTC).

    Raises:
        ValueError: it is none.
    """
    return datetime.datetime.fromisoformat(text).timestamp()


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
