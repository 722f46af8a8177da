"""Cores that are broken on purpose, one safety rule each: the simulation has to notice every one.

A variant says what it takes away, and where that rule lives: in the shipped core of the agent, in the shipped
completions of the replicator, or in the replicator's other code, which ``primary`` and ``replicator`` model. How a
variant is found is kept in ``traces``: a seed, and the shortest schedule of that seed that shows it.
"""

from tests.simulation.broken import (
    completing,
    electing,
    forcing,
    promising,
    recording,
    resyncing,
    standing,
    streaming,
)
from tests.simulation.broken.variant import Variant

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for module in (electing, recording, completing, streaming, promising, standing, resyncing, forcing)
    for variant in module.VARIANTS
}
