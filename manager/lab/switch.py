"""The lab's network: a bridge in a namespace of its own, a port a machine, and which ports hear one another.

Nothing of it is in the host's network: the lab's addresses cannot collide with the host's, and the host's firewall
does not see the lab's frames. A cut drops frames silently, as a switch that fails somewhere does: the machines see
their own link up. A slow cable holds frames back at both of its ends, and drops them when too many wait.
"""

import enum
import json
import os
from dataclasses import dataclass

from manager.lab.cgroup import Cgroup
from manager.lab.commands import run
from manager.lab.errors import LabError
from manager.lab.layout import ETCD_PORTS, Machine

_BRIDGE = "lab"
_CUT, _CUT_ETCD = "cut", "cut_etcd"
_PORTS = ", ".join(map(str, ETCD_PORTS))
_SETS = f"""\
table bridge {_BRIDGE} {{
    set {_CUT} {{ type ifname . ifname; }}
    set {_CUT_ETCD} {{ type ifname . ifname; }}
}}
"""
_RULES = f"""\
add chain bridge {_BRIDGE} forward {{ type filter hook forward priority 0; policy accept; }}
flush chain bridge {_BRIDGE} forward
add rule bridge {_BRIDGE} forward iifname . oifname @{_CUT} drop
add rule bridge {_BRIDGE} forward iifname . oifname @{_CUT_ETCD} tcp dport {{ {_PORTS} }} drop
add rule bridge {_BRIDGE} forward iifname . oifname @{_CUT_ETCD} tcp sport {{ {_PORTS} }} drop
"""
"""They come with the first cut, and stay: two may be made and mended at once. Before, no frame is looked at (measured:
0.2 microseconds a frame on its way through a farm's director, a fifth of what that hop costs).
"""
_ONLY_A_SWITCH = "for f in /proc/sys/net/bridge/bridge-nf-call-*; do ! [ -e $f ] || echo 0 >$f; done"
"""Where br_netfilter is there, every frame would go through IP's hooks as well, as through no switch."""
_SLOW = ("burst", "16kb", "latency", "400ms")
"""A small buffer, as a switch's port has: past it frames are dropped, and TCP slows down."""


class Lost(enum.Enum):
    """What vanishes of what passes between a machine and others."""

    ALL = enum.auto()
    SENT = enum.auto()
    """By the machine: it is mute."""
    RECEIVED = enum.auto()
    """It is deaf."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames that vanish."""

    pairs: tuple[tuple[str, str], ...]
    """From which machine, to which one."""
    etcd_alone: bool = False
    """Only what etcd is asked and says."""


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
        run([*self._enter(), "nft", "-f", "-"], stdin=_SETS)
        run([*self._enter(), "sh", "-c", _ONLY_A_SWITCH])

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

    def cut(self, cut: Cut) -> None:
        """From now on these frames vanish."""
        self._change("add", cut.etcd_alone, set(cut.pairs))

    def mend(self, cut: Cut) -> None:
        """These frames pass again, whoever has cut them off."""
        there = next((c.pairs for c in self.cuts() if c.etcd_alone == cut.etcd_alone), ())
        self._change("delete", cut.etcd_alone, set(cut.pairs) & set(there))

    def heal(self) -> None:
        """Every frame passes again, at once."""
        for name in (_CUT, _CUT_ETCD):
            run([*self._enter(), "nft", "flush", "set", "bridge", _BRIDGE, name])

    def cuts(self) -> list[Cut]:
        """What vanishes: the frames of all kinds, and those of etcd alone; without what is empty."""
        listed = json.loads(run([*self._enter(), "nft", "-j", "list", "table", "bridge", _BRIDGE]))
        elements = {item["set"]["name"]: item["set"].get("elem", ()) for item in listed["nftables"] if "set" in item}
        found = []
        for name in (_CUT, _CUT_ETCD):
            pairs = sorted((element["concat"][0], element["concat"][1]) for element in elements[name])
            found += [Cut(tuple(pairs), name == _CUT_ETCD)] if pairs else []
        return found

    def slow(self, machine: Machine, pid: int, rate: str) -> None:
        """No more than ``rate`` (as tc(8) writes it) passes the cable of the machine whose process 1 is ``pid``.

        Each direction for itself, and until the machine is started anew, or :meth:`hurry`.

        Raises:
            LabError: it is no rate.
        """
        for enter, device in self._ends(machine, pid):
            run([*enter, "tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, *_SLOW])

    def hurry(self, machine: Machine, pid: int) -> None:
        """The cable is as quick as it was made."""
        if machine.name in self.slowed():
            for enter, device in self._ends(machine, pid):
                run([*enter, "tc", "qdisc", "del", "dev", device, "root"])

    def slowed(self) -> dict[str, int]:
        """The machines whose cable is slow, with the bits that pass in a second."""
        listed = json.loads(run([*self._enter(), "tc", "-json", "qdisc", "show"]))
        return {item["dev"]: item["options"]["rate"] * 8 for item in listed if item["kind"] == "tbf"}

    def _ends(self, machine: Machine, pid: int) -> tuple[tuple[list[str], str], ...]:
        """How either end of a cable is reached, and its name there."""
        return (self._enter(), machine.name), (["nsenter", "--target", str(pid), "--net"], "eth0")

    def _change(self, verb: str, etcd_alone: bool, pairs: set[tuple[str, str]]) -> None:
        if not pairs:
            return
        elements = ", ".join(f'"{sender}" . "{receiver}"' for sender, receiver in sorted(pairs))
        name = _CUT_ETCD if etcd_alone else _CUT
        change = f"{verb} element bridge {_BRIDGE} {name} {{ {elements} }}\n"
        run([*self._enter(), "nft", "-f", "-"], stdin=change if verb == "delete" else _RULES + change)

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
