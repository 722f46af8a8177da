"""Where this node's agent keeps its files: each path below the directories of ``agent.toml``. No I/O."""

import posixpath
from dataclasses import dataclass

from manager.model.api import SOCKET_NAME
from manager.model.config import PathsConfig


@dataclass(frozen=True, slots=True)
class Places:
    """Every path that the agent uses."""

    paths: PathsConfig
    runs_scripts: bool = True
    """What is in the run directory can be executed. Debian and Ubuntu mount ``/run`` with ``noexec``."""

    @property
    def socket(self) -> str:
        """The CLI's socket."""
        return posixpath.join(self.paths.run, SOCKET_NAME)

    @property
    def pid_file(self) -> str:
        """Names the agent's process, and is locked by it."""
        return posixpath.join(self.paths.run, "agent.pid")

    @property
    def lease_file(self) -> str:
        """Names the agent's lease."""
        return posixpath.join(self.paths.run, "lease.json")

    @property
    def identity_file(self) -> str:
        """Names the cluster that the agent belongs to."""
        return posixpath.join(self.paths.run, "cluster.json")

    @property
    def boot_file(self) -> str:
        """Names the machine's start that an agent has seen, and what it has not settled of it yet."""
        return posixpath.join(self.paths.run, "boot.json")

    @property
    def promise_file(self) -> str:
        """Says for how long this node's agents have promised not to stand: also after another start of the machine."""
        return posixpath.join(self.paths.state, "promise.json")

    @property
    def marks(self) -> str:
        """Names the addresses that the kernel could not mark as ours."""
        return posixpath.join(self.paths.run, "addresses.json")

    @property
    def link_settings(self) -> str:
        """Names the links that keep silent about a farm's addresses, and how they were set before."""
        return posixpath.join(self.paths.run, "links.json")

    @property
    def agent_log(self) -> str:
        """The agent's own log."""
        return posixpath.join(self.paths.log, "agent.log")

    def run(self, module: str) -> str:
        """What a module keeps while the machine runs: its replicator's files, and its scripts where they can be run."""
        return posixpath.join(self.paths.run, module)

    def scripts(self, module: str) -> str:
        """The module's scripts, as they are run: in the run directory, unless nothing is executed there."""
        if self.runs_scripts:
            return posixpath.join(self.run(module), "scripts")
        return posixpath.join(self.paths.state, "scripts", module)

    def application_marker(self, module: str) -> str:
        """There once the module's application was started: whether it must have processes."""
        return posixpath.join(self.run(module), "application.lives")

    def traffic_note(self, module: str) -> str:
        """There while the application's scripts have the traffic of this node open."""
        return posixpath.join(self.run(module), "traffic.open")

    def control_socket(self, module: str) -> str:
        """Where the module's replicator takes the agent's commands."""
        return posixpath.join(self.run(module), "replicator.sock")

    def logs(self, module: str) -> str:
        """The module's logs."""
        return posixpath.join(self.paths.log, module)

    def replicator_log(self, module: str) -> str:
        """The log of the module's replicator."""
        return posixpath.join(self.logs(module), "replicator.log")
