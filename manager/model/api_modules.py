"""What an operator changes of a module: its configuration, where it runs, and what is switched off."""

import enum
from dataclasses import dataclass

from manager.model.records import BOOT, FAILOVER
from manager.model.states import Run, Setting


@dataclass(frozen=True, slots=True)
class ApplyArguments:
    """Call ``module.apply``: a module's folder, to be the module's configuration from now on."""

    toml: str
    scripts: dict[str, str]
    adopt: bool = False
    """Be the module that this node's disks belong to: for an etcd that was rebuilt and does not know it."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """Answer of ``module.apply``."""

    module: str
    generation: int
    created: bool
    changed: bool
    """False: it is what was applied before, nothing was written."""
    nodes: tuple[str, ...]
    started_on: tuple[str, ...]
    """Nodes on which the module is started: the change counts there after a restart."""


@dataclass(frozen=True, slots=True)
class ShowArguments:
    """Call ``module.show``: the folder that was applied."""

    module: str


@dataclass(frozen=True, slots=True)
class ModuleFolder:
    """Answer of ``module.show``."""

    module: str
    generation: int
    applied_at: str
    applied_by: str
    toml: str
    scripts: dict[str, str]


@dataclass(frozen=True, slots=True)
class RemoveArguments:
    """Call ``module.remove``: take the module out of the cluster; its directories are left as they are."""

    module: str
    gone: tuple[str, ...] = ()
    """Nodes that the operator says will not come back, so that nothing is known of them."""


@dataclass(frozen=True, slots=True)
class RemoveResult:
    """Answer of ``module.remove``."""

    module: str
    directories: tuple[str, ...]
    """They stay, with all that is in them, on every node."""


@dataclass(frozen=True, slots=True)
class DesiredArguments:
    """Call ``desired``: start or stop the module on these nodes; empty: on all of its nodes."""

    module: str
    run: Run
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DesiredResult:
    """Answer of ``desired``."""

    module: str
    nodes: tuple[str, ...]


class Switch(enum.StrEnum):
    """What an operator can switch off, and on again; the names stand in the desired records."""

    FAILOVER = FAILOVER
    """Of all nodes; off: maintenance, no node takes over or hands over by itself."""
    BOOT = BOOT
    """Off: the module is not started with the agent. On: it is with the machine, where an operator stopped it too."""


@dataclass(frozen=True, slots=True)
class SwitchArguments:
    """Call ``switch``: a switch of the module on these nodes; empty: on all of its nodes."""

    module: str
    switch: Switch
    setting: Setting
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """Answer of ``switch``."""

    module: str
    nodes: tuple[str, ...]
