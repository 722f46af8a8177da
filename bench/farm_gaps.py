"""How long clients of a farm wait when a node dies, and when one is drained; clients at addresses that it serves ask.

New connections alone: what becomes of those that are open the tests see. Every client asks again each 100 ms or so,
and that is how exact the figures are.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.farm_lab import MODULE, Farm
from bench.farm_probe import PATIENCE_S, Attempt, read_attempts

_ASKING = 10
"""So many clients; one after the other asks, every 10 ms one."""
_NS = 1_000_000_000
_AFTER_S = 4.0
"""Clients go on for so long after the crash: twice what it may take."""
_BEFORE_S = 0.5
_END_S = PATIENCE_S + 25.0


@dataclass(frozen=True, slots=True)
class Gap:
    """From a moment on, until clients of one node were served by others."""

    first_s: float
    """The first one of them."""
    all_s: float
    """The last one of them."""


@dataclass
class Gaps:
    """Those of all repetitions."""

    crashes: list[Gap] = field(default_factory=list)
    drains: list[Gap] = field(default_factory=list)
    drained_s: list[float] = field(default_factory=list)
    """How long the command took, until no connection was left on the node."""
    drain_failures: list[Attempt] = field(default_factory=list)
    """Connections that were not answered, refused or reset while a living node was drained."""


def measure(farm: Farm, times: int) -> Gaps:
    """So many crashes, and as many drains, of the node that does not direct."""
    gaps = Gaps()
    for number in range(times):
        crash(farm, gaps)
        drain(farm, gaps)
        print(f"crash and drain {number + 1} of {times}", file=sys.stderr)
    return gaps


def crash(farm: Farm, gaps: Gaps) -> None:
    """The node is cut off and dies at once; then it is started again."""
    sources = farm.sources()[farm.member][:_ASKING]
    with _asking(farm, sources) as seen:
        died_ns = farm.lab.crash(farm.member)
        time.sleep(_AFTER_S)
    gaps.crashes.append(gap(seen, sources, farm.member, farm.at_client_ns(died_ns)))
    farm.start(farm.member)


def drain(farm: Farm, gaps: Gaps) -> None:
    """The node is drained by the command, until it has no connection; then it gets its share again."""
    sources = farm.sources()[farm.member][:_ASKING]
    with _asking(farm, sources) as seen:
        began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        farm.mirrorfarm("farm", "drain", MODULE, farm.member, "--wait")
        gaps.drained_s.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME) - began_ns) / _NS)
    gaps.drains.append(gap(seen, sources, farm.member, farm.at_client_ns(began_ns)))
    gaps.drain_failures += [attempt for attempt in seen if attempt.how]
    farm.mirrorfarm("farm", "undrain", MODULE, farm.member)
    farm.settle()


def gap(seen: Sequence[Attempt], sources: Sequence[str], node: str, since_ns: int) -> Gap:
    """Of clients at ``sources``, which ``node`` served until ``since_ns``.

    Raises:
        SystemExit: one of them never got another node.
    """
    first_ns: dict[str, int] = {}
    for attempt in seen:
        if attempt.node not in ("", node) and attempt.ended_ns > since_ns:
            first_ns[attempt.source] = min(attempt.ended_ns, first_ns.get(attempt.source, attempt.ended_ns))
    if never := set(sources) - set(first_ns):
        raise SystemExit(f"never served by another node than {node}: {', '.join(sorted(never))}")
    waited = [(first_ns[source] - since_ns) / _NS for source in sources]
    return Gap(min(waited), max(waited))


@contextlib.contextmanager
def _asking(farm: Farm, sources: Sequence[str]) -> Iterator[list[Attempt]]:
    """Clients that ask meanwhile; what they saw is there afterwards."""
    seen: list[Attempt] = []
    with subprocess.Popen(farm.watching(sources), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("the clients did not begin")
            time.sleep(_BEFORE_S)
            yield seen
            told, _ = process.communicate(timeout=_END_S)
        finally:
            process.kill()
    if process.returncode:
        raise SystemExit(f"the clients ended with {process.returncode}")
    seen += read_attempts(told)
