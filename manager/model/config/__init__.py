"""Configuration: the text of ``agent.toml`` or of a module's folder in, frozen dataclasses out. No I/O."""

from manager.model.config.agent_config import (
    AgentConfig,
    EtcdConfig,
    LeaseConfig,
    LogConfig,
    LogLevel,
    NetworkConfig,
    PathsConfig,
    SocketConfig,
    TlsConfig,
    TlsMode,
)
from manager.model.config.application_config import SCRIPT_NAMES, ApplicationConfig, application_of
from manager.model.config.conflicts import refuse_answered, refuse_conflicts, refuse_unknown_nodes
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
from manager.model.config.parse_module import LARGEST_BYTES, parse_module

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
    "variable_of",
]
