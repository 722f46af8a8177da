"""``mirrorfarm-agent``: reads this node's configuration, puts the agent together, and ends it on a signal.

SIGTERM and SIGINT end it in order: every module is stopped here, with a hand-over where that can be, and the lease is
revoked. SIGHUP opens the log anew. Whatever it did not expect ends the process at once: its replicators live on until
the lease's deadline, and init starts it again.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence

import manager
from manager.config_files import AGENT_CONFIG, load_agent_config
from manager.model.config import AgentConfig
from manager.model.errors import ConfigError

EXIT_OK = 0
EXIT_CONFIG = 78
"""EX_CONFIG: nothing that starting it again would change."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent; the exit code."""
    parser = argparse.ArgumentParser(prog="mirrorfarm-agent", description="The agent of a Mirrorfarm cluster's node.")
    parser.add_argument("--config", metavar="FILE", default=AGENT_CONFIG, help=f"default: {AGENT_CONFIG}")
    parser.add_argument("--check", action="store_true", help="only say what is wrong with the configuration")
    parser.add_argument("--version", action="version", version=f"mirrorfarm-agent {manager.__version__}")
    args = parser.parse_args(argv)
    try:
        config = load_agent_config(args.config)
        return EXIT_OK if args.check else _run(config, args.config)
    except ConfigError as error:
        sys.stderr.write(f"mirrorfarm-agent: {error}\n")
        return EXIT_CONFIG


def _run(config: AgentConfig, config_file: str) -> int:
    # gRPC would meddle with each fork, and say so on standard error; what is forked here executes another program.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # Some seven hundred modules are loaded from here on, which nothing ever frees: the collector would go through them
    # again and again, for a fifth of the time until the agent is there, which puts it on again.
    gc.disable()
    # Imported here: a check of the configuration must not wait for all of it.
    from agent.runtime.process import run

    return run(config, config_file)


if __name__ == "__main__":
    sys.exit(main())
