"""The kinds of modules as one: what is asked of a module of which the kind does not matter, and what is run of them."""

from manager.model.config.farm_config import FarmConfig
from manager.model.config.findings import Finding, InvalidConfig
from manager.model.config.module_config import ModuleConfig

AnyModule = ModuleConfig | FarmConfig
"""A module's configuration, whole."""


def directories_of(module: AnyModule) -> tuple[str, ...]:
    """What is mirrored of it: nothing of a farm."""
    return module.directories if isinstance(module, ModuleConfig) else ()


def runnable(module: AnyModule, file: str = "module.toml") -> ModuleConfig:
    """``module``, which is of a kind that this release runs. The one place that says which.

    Raises:
        InvalidConfig: a farm: it is checked, and not run yet.
    """
    if isinstance(module, FarmConfig):
        raise InvalidConfig([Finding(file, "kind", '"farm"', '"mirror"; this release does not run farms yet')])
    return module
