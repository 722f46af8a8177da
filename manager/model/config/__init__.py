"""Configuration: the text of ``agent.toml`` or of a module's folder in, frozen dataclasses out. No I/O.

What a name here stands for is loaded when it is first asked for: most commands of an operator need none of the parsers,
and would wait for them each time.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manager.model.config.agent_config import (
        AgentConfig,
        EtcdConfig,
        LeaseConfig,
        LogConfig,
        LogLevel,
        LogTarget,
        NetworkConfig,
        PathsConfig,
        SocketConfig,
        TlsConfig,
        TlsMode,
    )
    from manager.model.config.application_config import SCRIPT_NAMES, ApplicationConfig, application_of
    from manager.model.config.conflicts import (
        refuse_answered,
        refuse_conflicts,
        refuse_unknown_nodes,
        refuse_unplaced,
    )
    from manager.model.config.dependencies import dependents_of, refuse_dependencies, variable_of
    from manager.model.config.farm_config import Affinity, FarmConfig, Protocol, RuleConfig, Traffic
    from manager.model.config.findings import Finding, InvalidConfig
    from manager.model.config.kinds import AnyModule, directories_of
    from manager.model.config.module_config import (
        Acknowledge,
        AddressConfig,
        Failover,
        ModuleConfig,
        ReplicationConfig,
        ResyncConfig,
        ResyncWindow,
        ScriptsConfig,
        VerifyConfig,
        VerifyWindow,
    )
    from manager.model.config.parse_agent import parse_agent_config
    from manager.model.config.parse_folder import LARGEST_BYTES, parse_module
else:
    from importlib import import_module

    def __getattr__(name: str) -> object:
        """The class or function of that name, from the module that has it."""
        if name in __all__:
            for module in map(import_module, (f"{__name__}.{place}" for place in _PLACES)):
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=__name__)


_PLACES = (
    "agent_config",
    "module_config",
    "farm_config",
    "application_config",
    "kinds",
    "findings",
    "dependencies",
    "conflicts",
    "parse_agent",
    "parse_folder",
)
"""Where they are looked for, in this order: those that bring the least come first.

None is called as what it has: a package has each of its modules that was loaded by its name, too.
"""

__all__ = [
    "LARGEST_BYTES",
    "SCRIPT_NAMES",
    "Acknowledge",
    "AddressConfig",
    "Affinity",
    "AgentConfig",
    "AnyModule",
    "ApplicationConfig",
    "EtcdConfig",
    "Failover",
    "FarmConfig",
    "Finding",
    "InvalidConfig",
    "LeaseConfig",
    "LogConfig",
    "LogLevel",
    "LogTarget",
    "ModuleConfig",
    "NetworkConfig",
    "PathsConfig",
    "Protocol",
    "ReplicationConfig",
    "ResyncConfig",
    "ResyncWindow",
    "RuleConfig",
    "ScriptsConfig",
    "SocketConfig",
    "TlsConfig",
    "TlsMode",
    "Traffic",
    "VerifyConfig",
    "VerifyWindow",
    "application_of",
    "dependents_of",
    "directories_of",
    "parse_agent_config",
    "parse_module",
    "refuse_answered",
    "refuse_conflicts",
    "refuse_dependencies",
    "refuse_unknown_nodes",
    "refuse_unplaced",
    "variable_of",
]
