"""Where this node's configuration is, and the little the CLI needs of it."""

import os

from manager.config_files import load_agent_config
from manager.model.api import SOCKET_NAME
from manager.model.config import NetworkConfig, PathsConfig, TlsConfig
from manager.model.errors import ConfigError

DEFAULT_CONFIG = "/etc/mirrorfarm/agent.toml"


def socket_path(config_file: str) -> str:
    """The agent's socket. A configuration that cannot be read, or is wrong, does not keep an operator from it."""
    try:
        run = load_agent_config(config_file).paths.run
    except (ConfigError, OSError):
        run = PathsConfig().run
    return f"{run}/{SOCKET_NAME}"


def channel_settings(config_file: str) -> tuple[NetworkConfig, TlsConfig]:
    """How the agents' channel is reached from here. A machine that is no node has no configuration: then by default.

    Raises:
        ConfigError: there is one that is not understood, or not for this user to read.
    """
    if not os.path.exists(config_file):
        return NetworkConfig(), TlsConfig()
    config = load_agent_config(config_file)
    return config.network, config.tls
