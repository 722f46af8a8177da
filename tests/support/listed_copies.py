"""The copies on disk at rest, before the judge of the simulated ones: who is listed has every completed write. Pure.

A write is a client's number, which no other one writes: it is its own block.
"""

from collections.abc import Collection, Iterable, Mapping

from tests.simulation.checkers import Copies, Violation
from tests.support.record_history import Json

_LISTED, _SINCE = 0, 1
"""Two memories of a node: the one that it was listed with, and a later one."""


def violations(
    record: Json, promised: Iterable[int], copies: Mapping[str, Iterable[int]], keepers: Collection[str]
) -> list[str]:
    """What is wrong, in sentences: of each node at the most one.

    Args:
        record: the in-sync record.
        promised: the numbers that were completed.
        copies: what the files on each node's disk have.
        keepers: the nodes that have kept the memory with which they were listed.
    """
    wrong, completed = [], {number: number for number in promised}
    for node in sorted(holder["node"] for holder in record["holders"]):
        memory = _LISTED if node in keepers else _SINCE
        copy = {number: number for number in copies[node]}
        try:
            Copies(frozenset({node}), {node: _LISTED}).check(completed, {node: copy}, {node: memory})
        except Violation as error:
            wrong.append(str(error))
    return wrong
