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
)
from manager.model.config.conflicts import refuse_conflicts
from manager.model.config.findings import Finding, InvalidConfig
from manager.model.config.module_config import (
    SCRIPT_NAMES,
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
    "AgentConfig",
    "EtcdConfig",
    "Failover",
    "Finding",
    "InvalidConfig",
    "LeaseConfig",
    "LogConfig",
    "LogLevel",
    "ModuleConfig",
    "NetworkConfig",
    "PathsConfig",
    "ReplicationConfig",
    "ResyncConfig",
    "ResyncWindow",
    "ScriptsConfig",
    "SocketConfig",
    "VerifyConfig",
    "VerifyWindow",
    "parse_agent_config",
    "parse_module",
    "refuse_conflicts",
]
