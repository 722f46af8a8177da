"""Broken variants of the shell that is shipped: each rule that lives there, taken away, and the test that notices it.

``tests.simulation.broken`` has those of the cores; what of these no simulated run notices is here, too (``deciding``).
``python -m tests.unit.broken`` writes the table in docs/SAFETY.md.
"""

from tests.unit.broken import deciding, ending, resyncing, streaming, vouching
from tests.unit.broken.variant import Variant

ALL: tuple[Variant, ...] = (
    *streaming.VARIANTS, *ending.VARIANTS, *vouching.VARIANTS, *resyncing.VARIANTS, *deciding.VARIANTS,
)  # fmt: skip
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in ALL}
"""By their names."""
