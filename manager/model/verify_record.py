"""What is known of the comparisons of a module's copies, as it stands in etcd: every node and the next primary have it.

Times are wall time (ISO 8601, UTC) and are for people; nothing is decided from them.
"""

from dataclasses import dataclass

from manager.model.records import RECORD_VERSION
from manager.model.reports import Difference
from manager.model.versions import RecordVersion

SCHEDULE, OPERATOR = "schedule", "operator"
"""Who asked for a comparison."""
MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison of everything that was carried through, in one part or several."""

    began_at: str
    ended_at: str
    node: str
    """The primary at its end."""
    by: str
    entries: int
    bytes: int
    differences: int
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One of the schedule that is under way, or goes on where it stopped."""

    began_at: str
    node: str
    """The primary that was at it last."""
    place: str
    """Where it goes on (``manager.model.reports.VerifyReport``)."""
    entries: int
    bytes: int
    differences: int
    parts: int
    """The one under way included."""
    noted_at: str
    """When it was so."""
    stopped: str = ""
    """Why it stopped; empty: it is under way, or its node could not say that it is not."""


@dataclass(frozen=True, slots=True)
class Differing:
    """The copies were found to differ, and no comparison of everything has found them equal since."""

    total: int
    at: str
    node: str
    """The primary that found it."""
    by: str
    examples: tuple[Difference, ...] = ()
    """Some of them; it may not have come to say any."""


@dataclass(frozen=True, slots=True)
class VerifyRecord:
    """Key ``modules/<m>/verify``; kept."""

    last: Compared | None = None
    unfinished: Unfinished | None = None
    alarm: Differing | None = None
    window: str = ""
    """The last window of the schedule in which one was begun, or went on; empty: one is due in the next."""
    repaired_window: str = ""
    """The last one in which something was repaired: once in a window is enough."""
    part: str = ""
    """The request that has written this."""
    version: RecordVersion = RECORD_VERSION
