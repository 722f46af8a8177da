"""What a hop through a farm's director costs, beside HAProxy; and how long clients wait for a node that dies.

Usage: ``python -m bench.farm [--rounds 7] [--seconds 1] [--times 3] [--load L]``, as root. A lab of three nodes, a
witness and a client, all on this machine, with a server on each: nginx with one worker, what it serves in memory.

``bare``: the server of a machine that has no farm. ``direct``: that of a node, by the node's own address. ``own``: the
farm's address, from a client that the director itself serves. ``forwarded``: the same from a client that the node of
``direct`` serves. ``hop``: an address that the director sends on to that node by one rule of nftables and nothing else:
the least that a packet's way through a third machine takes here. ``haproxy``: HAProxy (Debian's, mode tcp) on the
director, in front of that same server.

Each round measures every way once for every load, in an order that changes from round to round. The figures are
medians, the ratios medians of each round's own ratio. All machines share this one's processors: what the director and
HAProxy compute takes from the client and the server here, and would not elsewhere.

Then the node of ``direct`` dies ``--times`` times and returns, and is drained as often: until its clients are served
by others.
"""

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench import farm_gaps, farm_lab
from bench.farm_gaps import Gaps
from bench.farm_lab import DIRECT, FORWARDED, Farm
from bench.farm_loads import LOADS, Figure, LoadFailed
from bench.outcome import in_turn, median_ratio, spread

Figures = Mapping[tuple[str, str], Sequence[Figure]]
"""(load, way) to the figure of each round."""

BAR = 0.9
"""What the rate through the director is to reach of that of the same server without it."""
MOST_AWAY_S = 2.0
"""A dead node's clients are served by others within this."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=1, help="of each single measurement")
    parser.add_argument("--times", type=int, default=3, help="that the node dies, and is drained; 0: not")
    parser.add_argument("--load", action="append", choices=list(LOADS), help="only this one; may be repeated")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.seconds < 1 or args.times < 0:
        parser.error("--rounds and --seconds must be positive, --times not negative")
    farm_lab.refuse_what_is_missing()
    loads = args.load or list(LOADS)
    with farm_lab.running() as farm:
        figures = measure(farm, loads, args.rounds, args.seconds)
        gaps = farm_gaps.measure(farm, args.times)
    console = Console(width=160)
    console.print(ways_table(figures, loads))
    if args.times:
        console.print(gaps_table(gaps))
    missed = [*missed_rates(figures, loads), *missed_gaps(gaps)]
    for words in missed:
        print(words, file=sys.stderr)
    return 1 if missed else 0


def measure(farm: Farm, loads: Sequence[str], rounds: int, seconds: int) -> dict[tuple[str, str], list[Figure]]:
    """All servers are up all the time, and idle while another way is measured.

    Raises:
        SystemExit: a request failed, or a way is not what it says, before or after.
    """
    figures: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    farm.refuse_other_ways()
    for number in range(rounds):
        for load in loads:
            for way in in_turn(list(farm.targets), number):
                figures[load, way].append(_one(farm, load, way, seconds))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    farm.refuse_other_ways()
    return figures


def _one(farm: Farm, load: str, way: str, seconds: int) -> Figure:
    target = farm.targets[way]
    said = farm.load(target, LOADS[load].command(f"http://{target.host}:{target.port}", seconds), seconds)
    try:
        return LOADS[load].figure(said)
    except LoadFailed as error:
        raise SystemExit(f"{LOADS[load].words}, {way}: {error}") from None


def ratio(figures: Figures, load: str, way: str, base: str = DIRECT) -> float:
    """Of the rates."""
    return median_ratio([f.rate for f in figures[load, way]], [f.rate for f in figures[load, base]])


def missed_rates(figures: Figures, loads: Sequence[str]) -> list[str]:
    """A sentence for each load whose rate through the director is below its bar."""
    found = {load: ratio(figures, load, FORWARDED) for load in loads if LOADS[load].is_barred}
    return [
        f"{LOADS[load].words}: forwarded has {reached:.2f} of direct, less than {BAR}"
        for load, reached in found.items()
        if reached < BAR
    ]


def missed_gaps(gaps: Gaps) -> list[str]:
    """A sentence for each bar that crashes and drains missed."""
    missed = []
    if gaps.crashes and (away_s := statistics.median(gap.all_s for gap in gaps.crashes)) > MOST_AWAY_S:
        missed.append(f"the clients of a node that died waited {away_s:.2f} s, more than {MOST_AWAY_S:.0f} s")
    if gaps.drain_failures:
        worst = ", ".join(sorted({attempt.how for attempt in gaps.drain_failures}))
        missed.append(f"{len(gaps.drain_failures)} connections failed while a node was drained: {worst}")
    return missed


def ways_table(figures: Figures, loads: Sequence[str]) -> Table:
    """A section a load, a row a way."""
    table = Table(title=f"medians (least to most), and times that of direct; {os.cpu_count()} processors")
    for heading in ("load", "way", "rate", "", "p50 ms", "", "p99 ms", ""):
        table.add_column(heading)
    for load in loads:
        base = figures[load, DIRECT]
        for way in (way for of, way in figures if of == load):
            found = figures[load, way]
            rates = spread([f.rate for f in found], "{:,.0f}")
            cells = [f"{rates} {LOADS[load].unit}", f"x {ratio(figures, load, way):.2f}"]
            cells += _times([f.p50_ms for f in found], [f.p50_ms for f in base])
            cells += _times([f.p99_ms for f in found], [f.p99_ms for f in base])
            table.add_row(LOADS[load].words, way, *cells)
        table.add_section()
    return table


def _times(values_ms: Sequence[float | None], base_ms: Sequence[float | None]) -> tuple[str, str]:
    """The median and the ratio; empty where there are none."""
    values, base = [v for v in values_ms if v is not None], [b for b in base_ms if b is not None]
    if not values:
        return "", ""
    return f"{statistics.median(values):.3f}", f"x {median_ratio(values, base):.2f}"


def gaps_table(gaps: Gaps) -> Table:
    """What clients of the node saw that died, and was drained."""
    table = Table(title=f"a node's clients, {len(gaps.crashes)} times: medians (least to most), in seconds")
    for heading in ("", "the first is served by another", "all are", "the command has ended"):
        table.add_column(heading)
    for words, found, took in (("it dies", gaps.crashes, ""), ("it is drained", gaps.drains, spread(gaps.drained_s))):
        table.add_row(words, spread([gap.first_s for gap in found]), spread([gap.all_s for gap in found]), took)
    return table


if __name__ == "__main__":
    sys.exit(main())
