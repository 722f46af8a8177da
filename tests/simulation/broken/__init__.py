"""Cores that are broken on purpose, one safety rule each: the simulation has to notice every one.

A variant says what it takes away, and where that rule lives: in the shipped core of the agent, in the shipped
completions of the replicator, or in the replicator's other code, which ``primary`` and ``replicator`` model. How a
variant is found is kept in ``traces``: a seed, and the shortest schedule of that seed that shows it.
"""

from tests.simulation.broken import (
    completing,
    deciding,
    electing,
    elsewhere,
    forcing,
    listing,
    mended,
    naming,
    outliving,
    promising,
    recording,
    repairing,
    resyncing,
    serving,
    standing,
    streaming,
    taking,
    vouching,
)
from tests.simulation.broken.variant import Variant

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for module in (
        electing,
        taking,
        recording,
        listing,
        completing,
        streaming,
        serving,
        promising,
        outliving,
        standing,
        vouching,
        resyncing,
        repairing,
        forcing,
        naming,
        deciding,
        elsewhere,
        mended,
    )
    for variant in module.VARIANTS
}
