"""The lab's network: a bridge in a namespace of its own, a port a machine, and which ports hear one another.

Nothing of it is in the host's network: the lab's addresses cannot collide with the host's, and the host's firewall
does not see the lab's frames. A cut drops frames silently, as a switch that fails somewhere does: the machines see
their own link up.
"""

import json
import os
from dataclasses import dataclass

from manager.lab.cgroup import Cgroup
from manager.lab.commands import run
from manager.lab.errors import LabError
from manager.lab.layout import Machine

_BRIDGE = "lab"
_RULES = f"""\
table bridge {_BRIDGE} {{
    set cut {{ type ifname . ifname; }}
    chain forward {{
        type filter hook forward priority 0; policy accept;
        iifname . oifname @cut drop
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Switch:
    """The switch, by the cgroup of the process that holds its namespace. A port has the name of its machine."""

    cgroup: Cgroup

    @property
    def pid(self) -> int:
        """The process that holds the namespace.

        Raises:
            LabError: there is none.
        """
        found = next((p for p in self.cgroup.processes() if p.inside_pid == 1), None)
        if found is None:
            raise LabError("the lab's switch is not running: mirrorfarm lab down removes what is left")
        return found.pid

    def configure(self) -> None:
        """Make the bridge, once the process is there."""
        self._ip(
            "link set lo up",
            # Multicast goes everywhere, as IPv6's neighbour discovery needs it.
            f"link add name {_BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set dev {_BRIDGE} up",
        )
        run([*self._enter(), "nft", "-f", "-"], stdin=_RULES)

    def attach(self, machine: Machine, pid: int) -> None:
        """A cable from a port to ``eth0`` of the machine whose process 1 is ``pid``."""
        self._ip(
            f"link add name {machine.name} type veth peer name eth0 address {machine.mac} netns {pid}",
            f"link set dev {machine.name} master {_BRIDGE} up",
        )

    def detach(self, machine: Machine) -> None:
        """Pull the cable: nothing leaves the machine any more. What was cut stays cut."""
        self._ip(f"link set dev {machine.name} down", f"link del dev {machine.name}")

    def ports(self) -> list[str]:
        """The machines whose cable is in."""
        listed = json.loads(run([*self._enter(), "ip", "-json", "link", "show", "master", _BRIDGE]))
        return [link["ifname"] for link in listed]

    def cut(self, machine: Machine, others: list[Machine]) -> None:
        """No frame passes between ``machine`` and any of ``others``, in either direction."""
        self._nft("add", _pairs(machine, others))

    def heal(self) -> None:
        """Every frame passes again."""
        run([*self._enter(), "nft", "flush", "set", "bridge", _BRIDGE, "cut"])

    def cuts(self) -> list[tuple[str, str]]:
        """The pairs that do not hear one another, each once."""
        listed = json.loads(run([*self._enter(), "nft", "-j", "list", "set", "bridge", _BRIDGE, "cut"]))
        elements = next(item["set"].get("elem", []) for item in listed["nftables"] if "set" in item)
        pairs = (sorted(element["concat"]) for element in elements)
        return sorted({(first, second) for first, second in pairs})

    def _nft(self, verb: str, pairs: list[str]) -> None:
        run([*self._enter(), "nft", verb, "element", "bridge", _BRIDGE, "cut", "{ " + ", ".join(pairs) + " }"])

    def _ip(self, *lines: str) -> None:
        run([*self._enter(), "ip", "-batch", "-"], stdin="\n".join(lines))

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net"]


def write_plan(directory: str, cgroup: Cgroup) -> str:
    """The plan for the process that holds the switch's namespace; it has no mounts."""
    file = os.path.join(directory, "switch.json")
    with open(file, "w", encoding="utf-8") as out:
        json.dump({"cgroup": cgroup.directory, "root": ""}, out)
    return file


def _pairs(machine: Machine, others: list[Machine]) -> list[str]:
    pairs = []
    for other in others:
        pairs += [f'"{machine.name}" . "{other.name}"', f'"{other.name}" . "{machine.name}"']
    return pairs
