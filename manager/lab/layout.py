"""What a lab consists of: its machines, their addresses, file systems and places on the host. Pure: no I/O.

The nodes are ``a``, ``b``, ``c`` ... at 10.77.0.1, .2, .3 ..., the client at .200, the witness at .250, and the same
numbers below fd77::/64 (fd77::250 is written so, though IPv6 reads it as hexadecimal). The first two nodes and the
witness each run a member of etcd.
"""

import enum
import os
import re
from dataclasses import dataclass

from manager.lab.errors import LabError

NAME_VARIABLE = "MIRRORFARM_LAB"
"""Names the lab that a command is about; without it, it is the one without a name."""
CLUSTER = "lab"
CLIENT = "client"
WITNESS = "witness"
VIRTUAL_ADDRESS = "10.77.0.100"
"""Free for modules; the example module has it."""
ETCD_PORTS = (2379, 2380)
"""For its clients, and for its members among themselves."""
DEFAULT_LEASE_TTL_S = 4
"""Shorter than agent.toml's: nobody wants to wait, and all machines share one machine's disk and cores."""

_NODE = re.compile(r"[a-z]")
_NAME = re.compile(r"[a-z0-9-]{0,32}")
_CLIENT_NUMBER = 200
_WITNESS_NUMBER = 250
_ETCD_NODES = 2


def lab_label(name: str) -> str:
    """What the lab's cgroup and directories are called: ``mirrorfarm-lab``, with its name behind it if it has one.

    Raises:
        LabError: it is no name.
    """
    if not _NAME.fullmatch(name):
        raise LabError(f"{NAME_VARIABLE}: found {name!r}; allowed: up to 32 small letters, digits and dashes")
    return f"mirrorfarm-lab-{name}" if name else "mirrorfarm-lab"


def run_directory(label: str) -> str:
    """There while the lab is up."""
    return f"/run/{label}"


def default_directory(label: str) -> str:
    """For its disks and logs."""
    return f"/var/lib/{label}"


class Role(enum.Enum):
    """What a machine is for."""

    NODE = "node"
    """Has the agent, and ``/srv``."""
    WITNESS = "witness"
    """Has etcd alone."""
    CLIENT = "client"
    """Has nothing but the network."""


class FileSystem(enum.Enum):
    """Of a node's ``/srv``."""

    EXT4 = "ext4"
    XFS = "xfs"

    @property
    def size_bytes(self) -> int:
        """The size of the disk; the xfs is the smaller one, so that the pair runs full at different times."""
        return 2 << 30 if self is FileSystem.EXT4 else 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the lab."""

    name: str
    number: int
    role: Role
    has_etcd: bool

    @property
    def ipv4(self) -> str:
        """Its address, without the prefix length, which is 24."""
        return f"10.77.0.{self.number}"

    @property
    def ipv6(self) -> str:
        """Its address, without the prefix length, which is 64."""
        return f"fd77::{self.number}"

    @property
    def mac(self) -> str:
        """The same after each start, as that of a network card is."""
        return f"02:77:00:00:00:{self.number:02x}"

    @property
    def file_system(self) -> FileSystem | None:
        """Of ``/srv``; ``None``: it has no such disk."""
        if self.role is not Role.NODE:
            return None
        return FileSystem.EXT4 if self.number % 2 else FileSystem.XFS


@dataclass(frozen=True, slots=True)
class Layout:
    """All machines of a lab, in the order in which they are started."""

    directory: str
    machines: tuple[Machine, ...]

    @property
    def nodes(self) -> tuple[Machine, ...]:
        """Those that run an agent."""
        return tuple(m for m in self.machines if m.role is Role.NODE)

    @property
    def etcd_members(self) -> tuple[Machine, ...]:
        """Those that run a member of etcd."""
        return tuple(m for m in self.machines if m.has_etcd)

    def machine(self, name: str) -> Machine:
        """The machine of that name.

        Raises:
            LabError: there is none.
        """
        found = next((m for m in self.machines if m.name == name), None)
        if found is None:
            raise LabError(f"no machine {name!r} in this lab; there are {self._names(self.machines)}")
        return found

    def node(self, name: str) -> Machine:
        """The node of that name.

        Raises:
            LabError: there is none, or it is no node.
        """
        found = self.machine(name)
        if found.role is not Role.NODE:
            raise LabError(f"{name} is no node; the nodes are {self._names(self.nodes)}")
        return found

    def etcd_member(self, name: str) -> Machine:
        """The machine of that name, which runs a member of etcd.

        Raises:
            LabError: there is none, or it runs none.
        """
        found = self.machine(name)
        if not found.has_etcd:
            raise LabError(f"{name} runs no etcd; its members are on {self._names(self.etcd_members)}")
        return found

    def home(self, machine: Machine) -> str:
        """The machine's directory on the host."""
        return os.path.join(self.directory, machine.name)

    def logs(self, machine: Machine) -> str:
        """The machine's logs, which the host can read while the machine is dead."""
        return os.path.join(self.home(machine), "log")

    def console(self, machine: Machine) -> str:
        """What the machine said when it started."""
        return os.path.join(self.home(machine), "console.log")

    def endpoints(self, first: Machine | None = None) -> tuple[str, ...]:
        """etcd's client addresses, that of ``first`` before the others."""
        members = sorted(self.etcd_members, key=lambda m: m != first)
        return tuple(f"{m.ipv4}:2379" for m in members)

    @staticmethod
    def _names(machines: tuple[Machine, ...]) -> str:
        return ", ".join(m.name for m in machines)


def make_layout(nodes: tuple[str, ...], directory: str) -> Layout:
    """A lab with these nodes.

    Raises:
        LabError: a name is no letter from a to z, comes twice, or there are fewer than two; the directory is relative.
    """
    if len(nodes) < _ETCD_NODES or len(set(nodes)) < len(nodes) or not all(_NODE.fullmatch(n) for n in nodes):
        raise LabError(f"nodes: found {','.join(nodes) or 'none'}; allowed: at least two different letters, as a,b")
    if not os.path.isabs(directory) or not os.path.normpath(directory).strip("/"):
        raise LabError(f"directory: found {directory}; allowed: an absolute path of the lab's own")
    machines = [
        Machine(name, ord(name) - ord("a") + 1, Role.NODE, index < _ETCD_NODES) for index, name in enumerate(nodes)
    ]
    machines.append(Machine(WITNESS, _WITNESS_NUMBER, Role.WITNESS, True))
    machines.append(Machine(CLIENT, _CLIENT_NUMBER, Role.CLIENT, False))
    return Layout(os.path.normpath(directory), tuple(machines))
