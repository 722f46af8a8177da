"""The bounds within which every state is looked at: those of each run, and larger ones for a soak."""

from typing import Final

from tests.model import search as files
from tests.model.plans import CREATE, FSYNC, ONE_ZONE, RENAME, TWO_ZONES, UNLINK, UNLINK_1, WRITE, WRITE_1
from tests.model.search import Result
from tests.model.serving import search as serving
from tests.model.serving import state as timed
from tests.model.state import Budget
from tests.model.world import Bounds

AnyBounds = Bounds | timed.Bounds


def search(bounds: AnyBounds, most_states: int = 100_000_000) -> Result:
    """By the model that the bounds are for."""
    if isinstance(bounds, timed.Bounds):
        return serving.search(bounds, most_states)
    return files.search(bounds, most_states)


QUICK: Final[dict[str, AnyBounds]] = {
    "power losses": Bounds((WRITE,), Budget(power=2, sync=3), epochs=4),
    "a power loss, a crash, a cut": Bounds((WRITE,), Budget(power=1, crash=1, cut=1, sync=2), epochs=3),
    "power losses and a cut": Bounds((WRITE,), Budget(power=2, cut=1, sync=2), epochs=4),
    "an fsync and power losses": Bounds((WRITE, FSYNC), Budget(power=2, sync=2), epochs=3),
    "two zones, two outstanding, power losses": Bounds(
        (WRITE, WRITE_1), Budget(power=2, sync=1), epochs=3, zones=TWO_ZONES, outstanding=2
    ),
    "an operation that fails, and a cut": Bounds(
        (WRITE, WRITE_1), Budget(cut=1, fail=1, sync=2), epochs=3, zones=ONE_ZONE, outstanding=2
    ),
    "a lost lease and a lost answer": Bounds((WRITE, WRITE), Budget(cut=1, lease=1, lost=1, sync=1), epochs=3),
    "a lost lease, a late request, a power loss": Bounds((WRITE,), Budget(power=1, lease=1, delay=1, sync=1), epochs=3),
    "a node without its memory, others away": Bounds((WRITE,), Budget(power=2, lease=1, sync=1), epochs=4),
    "a swap, a crash, a late request": Bounds((WRITE,), Budget(crash=1, swap=1, delay=1, sync=1), epochs=3),
    "a swap, a lost lease, a lost answer": Bounds((WRITE,), Budget(lease=1, swap=1, lost=1, cut=1), epochs=3),
    "a swap and a power loss": Bounds((WRITE, WRITE), Budget(power=1, swap=1, sync=1), epochs=3),
    "a swap, a power loss, a cut": Bounds((WRITE,), Budget(power=1, cut=1, swap=1, sync=1), epochs=4),
    "a swap, a crash, a lost lease, a late request": Bounds(
        (WRITE,), Budget(crash=1, cut=1, lease=1, delay=1, swap=1), epochs=3
    ),
    "two swaps": Bounds((WRITE,), Budget(swap=2, crash=1, lost=1, sync=2), epochs=4),
    "resumed, cut, with late requests": Bounds((WRITE, WRITE), Budget(lease=2, cut=1, delay=1), epochs=3),
    "resumed, with late requests": Bounds((WRITE,), Budget(lease=2, delay=1, lost=1), epochs=3),
    "names, a cut, a power loss": Bounds((CREATE, RENAME, UNLINK_1), Budget(power=1, cut=1), epochs=3, zones=ONE_ZONE),
    "names in two directories, streams taken up again": Bounds(
        (CREATE, RENAME), Budget(cut=2, sync=1), epochs=2, zones=TWO_ZONES, reconnects=True
    ),
    "names, a crash, two outstanding": Bounds(
        (CREATE, UNLINK), Budget(crash=1, cut=1), epochs=3, outstanding=2, reconnects=True
    ),
    "alone at the start": Bounds((WRITE, FSYNC), Budget(power=1, sync=2), epochs=3, start="alone"),
    "the first start": Bounds((WRITE,), Budget(crash=1, delay=1), epochs=2, start="first"),
    "a restored store": Bounds((WRITE, WRITE), Budget(cut=1, sync=1), epochs=3, restores=True),
    "three nodes, a power loss": Bounds((WRITE,), Budget(power=1, sync=1), epochs=2, nodes=3),
    "three nodes, a crash": Bounds((WRITE,), Budget(crash=1, sync=1), epochs=2, nodes=3),
    "three nodes, a swap": Bounds((WRITE,), Budget(swap=1), epochs=3, nodes=3),
    "serving: crashes": timed.Bounds(timed.Budget(crash=1, agent=1, delay=1, lost=1, slow=1), ttl=3, promise=3),
    "serving: changes of the record": timed.Bounds(timed.Budget(change=1, delay=1, lost=1), ttl=3, promise=2),
    "serving: joined by a second": timed.Bounds(timed.Budget(change=2, delay=1, agent=1), listed=1, ttl=3, promise=3),
    "serving: a swap": timed.Bounds(timed.Budget(swap=1, agent=1, delay=1, lost=1), epochs=3),
    "serving: a released place": timed.Bounds(timed.Budget(release=1, change=1, crash=1, delay=1), epochs=3),
    "serving: three nodes": timed.Bounds(timed.Budget(crash=1, delay=1), nodes=3, epochs=3),
}
"""Each complete; together about a minute of one processor."""

LONG: Final[dict[str, AnyBounds]] = {
    "a power loss, two crashes, a cut": Bounds((WRITE,), Budget(power=1, crash=2, cut=1, sync=2), epochs=3),
    "two crashes, a cut, a lost lease": Bounds((WRITE, WRITE), Budget(crash=2, cut=1, lease=1, sync=2), epochs=3),
    "an fsync, power losses, a cut": Bounds((WRITE, FSYNC), Budget(power=2, cut=1, sync=2), epochs=3),
    "an fsync, three power losses": Bounds((WRITE, FSYNC), Budget(power=3, sync=2), epochs=4),
    "write, fsync, write, power losses": Bounds((WRITE, FSYNC, WRITE), Budget(power=2, sync=2), epochs=3),
    "two zones, two outstanding, four epochs": Bounds(
        (WRITE, WRITE_1), Budget(power=2, sync=3), epochs=4, zones=TWO_ZONES, outstanding=2
    ),
    "an operation that fails, a crash, a cut": Bounds(
        (WRITE, WRITE_1), Budget(cut=1, crash=1, fail=1, sync=3), epochs=3, zones=ONE_ZONE, outstanding=2
    ),
    "cuts, a lost lease, a late request": Bounds((WRITE, WRITE), Budget(cut=2, lease=1, delay=1, sync=2), epochs=3),
    "a power loss, a lost lease, a lost answer, a late request": Bounds(
        (WRITE, WRITE), Budget(power=1, lease=1, lost=1, delay=1, sync=1), epochs=3
    ),
    "nodes without their memory, others away, a late request": Bounds(
        (WRITE,), Budget(power=2, lease=2, delay=1, sync=2), epochs=4
    ),
    "a swap, a power loss, a cut, two writes": Bounds((WRITE, WRITE), Budget(power=1, cut=1, swap=1, sync=2), epochs=4),
    "a swap, a crash, a lost lease, a late request, two writes": Bounds(
        (WRITE, WRITE), Budget(crash=1, cut=1, lease=1, delay=1, swap=1, sync=1), epochs=3
    ),
    "two swaps, two writes": Bounds((WRITE, WRITE), Budget(swap=2, crash=1, lost=1, sync=1), epochs=4),
    "resumed, cut, with late requests, lost answers": Bounds(
        (WRITE, WRITE), Budget(lease=2, cut=1, delay=1, lost=1, sync=1), epochs=3
    ),
    "names, crashes, a cut": Bounds(
        (CREATE, RENAME, UNLINK_1, CREATE), Budget(crash=1, cut=1, power=1, sync=1), epochs=3, zones=TWO_ZONES,
        reconnects=True,
    ),
    "names, a swap": Bounds(
        (CREATE, RENAME, UNLINK_1), Budget(power=1, swap=1, sync=1), epochs=3, zones=ONE_ZONE, outstanding=2
    ),
    "three nodes, two crashes": Bounds((WRITE,), Budget(crash=2, sync=1), epochs=3, nodes=3),
    "three nodes, a cut, a lost lease": Bounds((WRITE,), Budget(cut=1, lease=1, sync=1), epochs=2, nodes=3),
    "three nodes, a swap, a power loss": Bounds((WRITE,), Budget(power=1, swap=1, sync=1), epochs=3, nodes=3),
    "three nodes, power losses": Bounds((WRITE,), Budget(power=2, sync=1), epochs=3, nodes=3),
    "serving: long leases": timed.Bounds(
        timed.Budget(crash=1, agent=1, delay=1, lost=1, slow=1, change=1), ttl=3, promise=3, epochs=3
    ),
    "serving: two late requests": timed.Bounds(
        timed.Budget(crash=1, delay=2, lost=1, change=1), ttl=3, promise=2, epochs=3
    ),
    "serving: three nodes, a swap": timed.Bounds(timed.Budget(change=1, delay=1, swap=1), nodes=3, epochs=3),
}  # fmt: skip
"""For a soak; each ends at :data:`MOST_STATES`, complete or not."""

MOST_STATES: Final = 3_000_000

WALKS: Final[dict[str, Bounds]] = {
    "two nodes": Bounds(
        (WRITE, WRITE_1, FSYNC, WRITE, WRITE_1),
        Budget(power=3, crash=2, cut=3, lease=2, lost=1, delay=2, fail=1, swap=2, sync=8),
        epochs=8, zones=TWO_ZONES, outstanding=2,
    ),
    "names": Bounds(
        (CREATE, RENAME, UNLINK_1, CREATE, UNLINK),
        Budget(power=2, crash=2, cut=3, lease=2, lost=1, delay=2, swap=1, sync=6),
        epochs=7, zones=TWO_ZONES, outstanding=2, reconnects=True,
    ),
    "three nodes": Bounds(
        (WRITE, WRITE_1, FSYNC, WRITE),
        Budget(power=2, crash=2, cut=2, lease=2, lost=1, delay=2, swap=2, sync=8),
        epochs=6, zones=TWO_ZONES, nodes=3,
    ),
}  # fmt: skip
"""Walked at random, far beyond what can be looked at whole."""
