"""What a module says of its application, whatever the module's kind; and which scripts each kind has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from manager.model.config.kinds import AnyModule, directories_of
from manager.model.config.module_config import ScriptsConfig
from manager.model.states import ModuleKind

START_AND_STOP: Mapping[ModuleKind, tuple[str, str]] = MappingProxyType(
    {ModuleKind.MIRROR: ("start_prim", "stop_prim"), ModuleKind.FARM: ("start_both", "stop_both")}
)
"""The scripts that ``services`` take the place of."""
SCRIPTS: Mapping[ModuleKind, tuple[str, ...]] = MappingProxyType(
    {
        ModuleKind.MIRROR: ("prestart", *START_AND_STOP[ModuleKind.MIRROR], "poststop", "fence"),
        ModuleKind.FARM: ("prestart", *START_AND_STOP[ModuleKind.FARM], "poststop"),
    }
)
"""The scripts that this release runs (FEATURES.md has the whole table)."""
SCRIPT_NAMES = tuple(dict.fromkeys(name for names in SCRIPTS.values() for name in names))
"""Of any kind."""


@dataclass(frozen=True, slots=True)
class ApplicationConfig:
    """By what one module's application is run on a node."""

    module: str
    start: str
    """The script that starts it."""
    stop: str
    """The script that stops it."""
    directories: tuple[str, ...]
    """What scripts are told of; a farm has none."""
    services: tuple[str, ...]
    """Instead of ``start`` and ``stop``."""
    limits: ScriptsConfig
    env: Mapping[str, str]
    scripts: Mapping[str, str]
    """Name to text."""
    depends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Module that it depends on to the virtual addresses of that one; none: it has none, or they are not known."""


def application_of(module: AnyModule) -> ApplicationConfig:
    """The part of ``module`` that its application is; the addresses of what it depends on are another module's."""
    start, stop = START_AND_STOP[module.kind]
    return ApplicationConfig(
        module=module.name,
        start=start,
        stop=stop,
        directories=directories_of(module),
        services=module.services,
        limits=module.limits,
        env=module.env,
        scripts=module.scripts,
        depends=dict.fromkeys(module.depends, ()),
    )
