"""The kinds of modules as one: what is asked of a module of which the kind does not matter."""

from manager.model.config.farm_config import FarmConfig
from manager.model.config.module_config import ModuleConfig

AnyModule = ModuleConfig | FarmConfig
"""A module's configuration, whole."""


def directories_of(module: AnyModule) -> tuple[str, ...]:
    """What is mirrored of it: nothing of a farm."""
    return module.directories if isinstance(module, ModuleConfig) else ()
