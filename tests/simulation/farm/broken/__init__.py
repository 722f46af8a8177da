"""Farm cores that are broken on purpose, one rule each: the farm's simulation has to notice every one.

As for mirrors (``tests.simulation.broken``); a variant is named for the decision (``docs/adr``) whose rule it lacks.
"""

from tests.simulation.broken.variant import Variant
from tests.simulation.farm.broken import moving, receiving

VARIANTS: dict[str, Variant] = {variant.name: variant for module in (moving, receiving) for variant in module.VARIANTS}
